DROP INDEX session_leases_epoch;
ALTER TABLE session_leases DROP COLUMN epoch;
DROP FUNCTION present_epoch();
ALTER TABLE host_heartbeats DROP COLUMN journal;
