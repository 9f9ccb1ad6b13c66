-- A session that is live has no end (the table's check), and its end is written once. An index that names the status instead would be
-- written anew with every event.
DROP INDEX sessions_one_live, sessions_live_host, sessions_live, sessions_started_at, sessions_ended_at, sessions_due;
CREATE UNIQUE INDEX sessions_one_live ON sessions (deployment) WHERE ended_at IS NULL;
CREATE INDEX sessions_live_host ON sessions (host, id) WHERE ended_at IS NULL;
CREATE INDEX sessions_ended_at ON sessions (ended_at, id) WHERE ended_at IS NOT NULL;
-- Only what is pending has a deadline.
CREATE INDEX sessions_due ON sessions (deadline_at) WHERE deadline_at IS NOT NULL;
ALTER TABLE sessions SET (fillfactor = 60);

-- Each row is in one of the two partial indexes; nobody looks a row up otherwise.
ALTER TABLE outbox DROP CONSTRAINT outbox_pkey;
DROP INDEX outbox_commands, outbox_events;
CREATE UNIQUE INDEX outbox_commands ON outbox (id) WHERE exchange = 'manman';
CREATE UNIQUE INDEX outbox_events ON outbox (id) WHERE exchange IS DISTINCT FROM 'manman';

-- Whoever sends commands is woken by commands only.
CREATE FUNCTION outbox_wake_commands() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('manman_outbox', 'commands');
    RETURN NULL;
END $$;
CREATE TRIGGER outbox_wakes_commands AFTER INSERT ON outbox FOR EACH ROW WHEN (NEW.exchange = 'manman')
    EXECUTE FUNCTION outbox_wake_commands();
