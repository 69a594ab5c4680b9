-- Times are integers: microseconds since 1970-01-01 UTC. States are the names of the tables in
-- msh/protocol. Content lies apart from the rows that change, so that a change stays small.

CREATE TABLE reception (
    id INTEGER PRIMARY KEY,
    sender TEXT NOT NULL,
    msg_id TEXT NOT NULL,
    receiver TEXT NOT NULL,
    service TEXT NOT NULL,
    ref_to TEXT,
    digest BLOB NOT NULL,
    digest_version INTEGER NOT NULL,
    state TEXT NOT NULL,
    received INTEGER NOT NULL,
    size INTEGER NOT NULL,
    owner TEXT NOT NULL,
    token INTEGER NOT NULL,
    lease INTEGER,
    due INTEGER,
    runs INTEGER NOT NULL,
    replays INTEGER NOT NULL DEFAULT 0,
    status TEXT,
    answered INTEGER,
    purged INTEGER NOT NULL DEFAULT 0,
    UNIQUE (msg_id, sender)
);

-- Only open work is looked for again, so the index stays as small as the work in hand.
CREATE INDEX reception_open ON reception (sender, lease, due)
    WHERE state IN ('claimed', 'running', 'released');

CREATE INDEX reception_settled ON reception (purged, answered)
    WHERE state = 'answered';

CREATE TABLE reception_request (reception INTEGER PRIMARY KEY, wire BLOB NOT NULL);

CREATE TABLE reception_reply (
    reception INTEGER PRIMARY KEY,
    plain BLOB NOT NULL,
    form BLOB,
    key TEXT NOT NULL DEFAULT ''
);

CREATE TABLE delivery (
    id INTEGER PRIMARY KEY,
    sender TEXT NOT NULL,
    msg_id TEXT NOT NULL,
    receiver TEXT NOT NULL,
    service TEXT NOT NULL,
    ref_to TEXT,
    caller_key TEXT,
    digest BLOB NOT NULL,
    state TEXT NOT NULL,
    queued INTEGER NOT NULL,
    size INTEGER NOT NULL,
    owner TEXT NOT NULL DEFAULT '',
    token INTEGER NOT NULL DEFAULT 0,
    lease INTEGER,
    due INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0,
    tries INTEGER NOT NULL DEFAULT 0,
    copies INTEGER NOT NULL DEFAULT 0,
    last INTEGER NOT NULL DEFAULT 0,
    series_began INTEGER,
    status TEXT,
    settled INTEGER,
    resolved_by TEXT,
    purged INTEGER NOT NULL DEFAULT 0,
    UNIQUE (msg_id, sender)
);

CREATE UNIQUE INDEX delivery_key ON delivery (sender, caller_key) WHERE caller_key IS NOT NULL;

CREATE INDEX delivery_due ON delivery (receiver, due)
    WHERE state IN ('queued', 'sending', 'waiting');

CREATE INDEX delivery_settled ON delivery (purged, settled)
    WHERE state IN ('answered', 'resolved', 'not-sent');

CREATE TABLE delivery_request (delivery INTEGER PRIMARY KEY, body BLOB NOT NULL, wire BLOB);

CREATE TABLE delivery_reply (delivery INTEGER PRIMARY KEY, wire BLOB NOT NULL);

CREATE TABLE attempt (
    delivery INTEGER NOT NULL,
    number INTEGER NOT NULL,
    began INTEGER NOT NULL,
    ended INTEGER,
    outcome TEXT,
    detail TEXT NOT NULL DEFAULT '',
    reconnected INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (delivery, number)
) WITHOUT ROWID;

CREATE TABLE journal (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    step TEXT NOT NULL,
    direction TEXT NOT NULL,
    msg_id TEXT NOT NULL,
    peer TEXT NOT NULL,
    service TEXT NOT NULL,
    details TEXT NOT NULL
);

CREATE INDEX journal_message ON journal (msg_id);
