-- Whose messages lie here, and what is left of those that were forgotten: a new message that is
-- dated no later than the newest of them may be a repeat.
CREATE TABLE identity (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    party TEXT,
    forgotten INTEGER
);

INSERT INTO identity VALUES (
    1,
    coalesce(
        (SELECT sender FROM delivery ORDER BY id DESC LIMIT 1),
        (SELECT receiver FROM reception ORDER BY id DESC LIMIT 1)
    ),
    NULL
);

-- The newest timestamp of the message's copies; NULL in rows that are older than this column.
ALTER TABLE reception ADD COLUMN dated INTEGER;

-- What came again, and how often: the journal tells of the first times, and then now and then.
-- `oldest` is the moment of the oldest line that may still be there.
CREATE TABLE repetition (
    direction TEXT NOT NULL,
    message INTEGER NOT NULL,
    step TEXT NOT NULL,
    times INTEGER NOT NULL,
    told INTEGER NOT NULL,
    oldest INTEGER NOT NULL,
    PRIMARY KEY (direction, message, step)
) WITHOUT ROWID;
