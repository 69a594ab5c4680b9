-- Requests that were too large for one message, each cut into several that are followed as one.
-- `first` and `last` count the groups of the whole. The first part has the caller's key itself, the others keys made of it.

CREATE TABLE batch (
    id INTEGER PRIMARY KEY,
    sender TEXT NOT NULL,
    caller_key TEXT NOT NULL,
    receiver TEXT NOT NULL,
    service TEXT NOT NULL,
    digest BLOB NOT NULL,
    parts INTEGER NOT NULL,
    queued INTEGER NOT NULL,
    UNIQUE (caller_key, sender)
);

CREATE TABLE batch_part (
    batch INTEGER NOT NULL,
    number INTEGER NOT NULL,
    delivery INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    ssn_id TEXT,
    service_ref TEXT,
    PRIMARY KEY (batch, number)
) WITHOUT ROWID;

CREATE INDEX batch_part_delivery ON batch_part (delivery);
