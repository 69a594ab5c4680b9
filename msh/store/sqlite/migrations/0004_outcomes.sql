-- What follows a request's reply: results and what they are about, inquiries, messages asked for
-- again, and runs that an operator asks for.

-- By what a result that names no message is tied to the request it is about.
CREATE TABLE delivery_reference (
    delivery INTEGER PRIMARY KEY,
    receiver TEXT NOT NULL,
    service TEXT NOT NULL,
    ssn_id TEXT,
    service_ref TEXT
);

CREATE INDEX delivery_reference_ssn_id ON delivery_reference (ssn_id, receiver);
CREATE INDEX delivery_reference_service_ref ON delivery_reference (service_ref, receiver);

-- Every result that came for a delivery. The result itself lies in its reception.
CREATE TABLE delivery_outcome (
    id INTEGER PRIMARY KEY,
    delivery INTEGER NOT NULL,
    reception INTEGER NOT NULL,
    msg_id TEXT NOT NULL,
    service TEXT NOT NULL,
    status TEXT,
    received INTEGER NOT NULL,
    UNIQUE (delivery, reception)
);

-- A delivery that asks what became of another one. A "not found" is believed if the inquiry was
-- first sent after `conclusive`; never without it.
CREATE TABLE delivery_inquiry (
    delivery INTEGER PRIMARY KEY,
    about INTEGER NOT NULL,
    conclusive INTEGER
);

CREATE INDEX inquiry_about ON delivery_inquiry (about);

-- What was asked for again (PS802) of a party, until when it may come. An empty text: anything.
CREATE TABLE message_asked_again (
    id INTEGER PRIMARY KEY,
    peer TEXT NOT NULL,
    service TEXT NOT NULL,
    day TEXT NOT NULL,
    msg_ids TEXT NOT NULL,
    ssn_id TEXT,
    service_ref TEXT,
    until INTEGER NOT NULL
);

-- Ended deliveries that the other side asked for again. They leave with the same bytes, and what is
-- recorded of them stays.
CREATE TABLE delivery_repeat (
    delivery INTEGER PRIMARY KEY,
    receiver TEXT NOT NULL,
    asked_by TEXT NOT NULL,
    due INTEGER NOT NULL,
    began INTEGER NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0
);

CREATE INDEX repeat_due ON delivery_repeat (receiver, due);

-- It came because it was asked for again; an operator asked for another run, and the reply stays.
ALTER TABLE reception ADD COLUMN repeat INTEGER NOT NULL DEFAULT 0;
ALTER TABLE reception ADD COLUMN rerun INTEGER NOT NULL DEFAULT 0;

-- The results that were sent for a request.
CREATE INDEX delivery_refers ON delivery (ref_to) WHERE ref_to IS NOT NULL;

-- Two more states are settled.
DROP INDEX delivery_settled;
CREATE INDEX delivery_settled ON delivery (purged, settled)
    WHERE state IN ('answered', 'resolved', 'not-sent', 'not-executed');
DROP INDEX reception_settled;
CREATE INDEX reception_settled ON reception (purged, answered)
    WHERE state IN ('answered', 'closed');
