DROP TRIGGER outbox_wakes_commands ON outbox;
DROP FUNCTION outbox_wake_commands();
DROP INDEX outbox_commands, outbox_events;
CREATE INDEX outbox_commands ON outbox (id) WHERE exchange = 'manman';
CREATE INDEX outbox_events ON outbox (id) WHERE exchange IS DISTINCT FROM 'manman';
ALTER TABLE outbox ADD CONSTRAINT outbox_pkey PRIMARY KEY (id);

ALTER TABLE sessions SET (fillfactor = 80);
DROP INDEX sessions_one_live, sessions_live_host, sessions_ended_at, sessions_due;
CREATE UNIQUE INDEX sessions_one_live ON sessions (deployment) WHERE status IN ('pending', 'starting', 'running', 'stopping');
CREATE INDEX sessions_live ON sessions (id) WHERE status IN ('pending', 'starting', 'running', 'stopping');
CREATE INDEX sessions_live_host ON sessions (host, id) WHERE status IN ('pending', 'starting', 'running', 'stopping');
CREATE INDEX sessions_started_at ON sessions (started_at, id);
CREATE INDEX sessions_ended_at ON sessions (ended_at, id);
CREATE INDEX sessions_due ON sessions (deadline_at) WHERE status = 'pending';
