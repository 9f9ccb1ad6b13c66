-- name: insert
-- A session as its host began it, with whatever came after in the same batch.
INSERT INTO sessions (id, host, deployment, status, desired, run, begun_version, previous_session_id, cause, reason, detail,
                      exit_code, signal, progress, created_at, at, progressed_at, starting_at, started_at, stopping_at,
                      ended_at, deadline_at, config, config_revision, deployment_version, launch, labels, players, restart,
                      history_number)
SELECT u.id, u.host, u.deployment, u.status, u.desired, u.run, u.begun_version, u.previous, coalesce(u.cause, ''), u.reason,
       u.detail, u.exit_code, u.signal, u.progress, coalesce(u.created_at, u.at), u.at, u.progressed_at, u.starting_at,
       u.started_at, u.stopping_at, u.ended_at,
       CASE WHEN u.status = 'pending' THEN clock() + $2::interval END,
       coalesce(u.config, d.config), coalesce(u.config_revision, d.config_revision), coalesce(u.deployment_version, d.version),
       u.launch, d.labels, u.players, u.restart, u.number
FROM json_to_recordset($1::text::json)
     AS u (id bigint, host bigint, deployment bigint, status text, desired text, run bigint, begun_version bigint, previous bigint,
           cause text, reason text, detail text, exit_code integer, signal integer, progress real, created_at timestamptz,
           at timestamptz, progressed_at timestamptz, starting_at timestamptz, started_at timestamptz, stopping_at timestamptz,
           ended_at timestamptz, config bigint, config_revision bigint, deployment_version bigint, launch text, players integer,
           restart jsonb, number bigint)
JOIN deployments d ON d.id = u.deployment
ORDER BY u.id
RETURNING id

-- name: update_status
UPDATE sessions s
SET status = u.status, desired = u.desired, history_number = u.number, at = u.at, detail = u.detail, progress = u.progress,
    players = u.players, progressed_at = u.progressed_at,
    starting_at = coalesce(s.starting_at, u.starting_at), stopping_at = coalesce(s.stopping_at, u.stopping_at),
    deadline_at = CASE WHEN u.status = 'pending' THEN coalesce(u.progressed_at, s.created_at) + $2::interval END
FROM json_to_recordset($1::text::json)
     AS u (id bigint, status text, desired text, number bigint, at timestamptz, detail text, progress real, players integer,
           progressed_at timestamptz, starting_at timestamptz, stopping_at timestamptz)
WHERE s.id = u.id
RETURNING s.id

-- name: update_session_start
UPDATE sessions s
SET status = u.status, desired = u.desired, history_number = u.number, at = u.at, detail = u.detail, progress = u.progress,
    players = u.players, progressed_at = u.progressed_at,
    starting_at = coalesce(s.starting_at, u.starting_at), stopping_at = coalesce(s.stopping_at, u.stopping_at),
    started_at = coalesce(s.started_at, u.started_at), deadline_at = NULL
FROM json_to_recordset($1::text::json)
     AS u (id bigint, status text, desired text, number bigint, at timestamptz, detail text, progress real, players integer,
           progressed_at timestamptz, starting_at timestamptz, stopping_at timestamptz, started_at timestamptz)
WHERE s.id = u.id
RETURNING s.id

-- name: update_session_end
UPDATE sessions s
SET status = u.status, desired = u.desired, history_number = u.number, at = u.at, detail = u.detail, progress = u.progress,
    players = u.players, progressed_at = u.progressed_at,
    starting_at = coalesce(s.starting_at, u.starting_at), stopping_at = coalesce(s.stopping_at, u.stopping_at),
    started_at = coalesce(s.started_at, u.started_at), ended_at = coalesce(s.ended_at, u.ended_at), deadline_at = NULL,
    exit_code = u.exit_code, signal = u.signal, reason = u.reason, restart = u.restart
FROM json_to_recordset($1::text::json)
     AS u (id bigint, status text, desired text, number bigint, at timestamptz, detail text, progress real, players integer,
           progressed_at timestamptz, starting_at timestamptz, stopping_at timestamptz, started_at timestamptz,
           ended_at timestamptz, exit_code integer, signal integer, reason text, restart jsonb)
WHERE s.id = u.id
RETURNING s.id
