-- Working keys, suspensions, and deliveries that wait because they cannot be protected.

-- `wrapped` is under a key-encryption key that the store never sees. A row's place among the keys
-- of its peer is the moment of its offer.
CREATE TABLE working_key (
    id INTEGER PRIMARY KEY,
    peer TEXT NOT NULL,
    key_id TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    wrapped BLOB NOT NULL,
    check_value TEXT NOT NULL,
    ours INTEGER NOT NULL,
    state TEXT NOT NULL,
    offered INTEGER NOT NULL,
    made INTEGER,
    activated INTEGER,
    verified INTEGER,
    UNIQUE (peer, key_id)
);

-- One exchange at a time, and one key to send with.
CREATE UNIQUE INDEX working_key_place ON working_key (peer, state)
    WHERE state IN ('pending', 'active');

CREATE TABLE suspension (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;

-- Whether the journal has said already that this delivery is held.
ALTER TABLE delivery ADD COLUMN on_hold INTEGER NOT NULL DEFAULT 0;
