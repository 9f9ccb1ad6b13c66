-- name: may_ask
SELECT has_function_privilege('pg_control_system()', 'EXECUTE') AND has_function_privilege('pg_control_checkpoint()', 'EXECUTE')

-- name: cluster
SELECT s.system_identifier::text AS system_identifier, c.timeline_id FROM pg_control_system() s, pg_control_checkpoint() c

-- name: lock
SELECT epoch, system_identifier, timeline_id FROM installation FOR UPDATE

-- name: remember
UPDATE installation SET system_identifier = $1, timeline_id = $2

-- name: raise_epoch
UPDATE installation SET epoch = $1 WHERE epoch < $1 RETURNING epoch

-- name: carry_events
-- What was not published yet is published in the new epoch.
UPDATE events SET epoch = $1 WHERE epoch < $1 AND position > (SELECT value FROM counters WHERE name = 'published')

-- name: raise_identity
-- Ids that were given after the backup are never given again: hosts know deployments and themselves by theirs. Of sessions there
-- are many.
SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, coalesce(last_value, 0) + 10000)
  FROM pg_sequences WHERE schemaname = current_schema();

-- name: raise_sessions
SELECT setval(pg_get_serial_sequence('sessions', 'id'),
              greatest(nextval(pg_get_serial_sequence('sessions', 'id')), (SELECT coalesce(max(id), 0) FROM sessions)) + 1000000)
