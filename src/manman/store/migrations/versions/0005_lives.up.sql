-- A disk that came back from a copy may count its boots to a number that is known already: the journal tells whose it is. No index
-- names it, and it changes once a life, so that beats are written in place as before.
ALTER TABLE host_heartbeats ADD COLUMN journal text;

-- The epoch in which a host said last what it holds. One of before the restore is what a backup remembers of the host.
CREATE FUNCTION present_epoch() RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT epoch FROM installation);
END $$;
ALTER TABLE session_leases ADD COLUMN epoch bigint NOT NULL DEFAULT present_epoch();
CREATE INDEX session_leases_epoch ON session_leases (epoch);
