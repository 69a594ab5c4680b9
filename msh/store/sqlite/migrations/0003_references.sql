-- Business references (SSNID, SVCREFID) of the requests that begin something: taken with the
-- reception, freed with its refusal or its content. An index for each makes the insert the check.
CREATE TABLE reception_reference (
    reception INTEGER PRIMARY KEY,
    sender TEXT NOT NULL,
    service TEXT NOT NULL,
    ssn_id TEXT,
    service_ref TEXT,
    UNIQUE (ssn_id, sender, service),
    UNIQUE (service_ref, sender, service)
);

-- Whether another reception had its references, so that whoever takes it over refuses it, too.
ALTER TABLE reception ADD COLUMN reused INTEGER NOT NULL DEFAULT 0;
