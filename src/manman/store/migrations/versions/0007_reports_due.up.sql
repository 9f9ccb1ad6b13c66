-- Hosts whose report is wanted and has not come: a command may be lost, the want is not. Written only when a report is asked for or
-- applied, so that no heartbeat and no event touches it.
CREATE TABLE reports_due (
    host  bigint PRIMARY KEY REFERENCES hosts (id) ON DELETE CASCADE,
    since timestamptz NOT NULL
);
