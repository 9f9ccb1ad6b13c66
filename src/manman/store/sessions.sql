-- name: insert
-- A session as its host began it, with whatever came after in the same batch.
INSERT INTO sessions (id, host, deployment, status, desired, run, begun_version, previous_session_id, cause, reason, detail,
                      exit_code, signal, progress, created_at, at, progressed_at, starting_at, started_at, stopping_at,
                      ended_at, deadline_at, config, config_revision, deployment_version, launch, labels, players, restart,
                      history_number)
SELECT u.id, u.host, u.deployment, u.status, u.desired, u.run, u.begun_version, u.previous, coalesce(u.cause, ''), u.reason,
       u.detail, u.exit_code, u.signal, u.progress, coalesce(u.created_at, u.at), u.at, u.progressed_at, u.starting_at,
       u.started_at, u.stopping_at, u.ended_at,
       CASE WHEN u.status = 'pending' THEN clock() + $1::interval END,
       coalesce(u.config, d.config), coalesce(u.config_revision, d.config_revision), coalesce(u.deployment_version, d.version),
       u.launch, d.labels, u.players, u.restart, u.number
FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::bigint[], $8::bigint[], $9::bigint[],
            $10::text[], $11::text[], $12::text[], $13::integer[], $14::integer[], $15::real[], $16::timestamptz[],
            $17::timestamptz[], $18::timestamptz[], $19::timestamptz[], $20::timestamptz[], $21::timestamptz[],
            $22::timestamptz[], $23::bigint[], $24::bigint[], $25::bigint[], $26::text[], $27::integer[], $28::jsonb[],
            $29::bigint[])
     AS u (id, host, deployment, status, desired, run, begun_version, previous, cause, reason, detail, exit_code, signal,
           progress, created_at, at, progressed_at, starting_at, started_at, stopping_at, ended_at, config, config_revision,
           deployment_version, launch, players, restart, number)
JOIN deployments d ON d.id = u.deployment
ORDER BY u.id
RETURNING id;

-- name: update_status
UPDATE sessions s
SET status = u.status, desired = u.desired, history_number = u.number, at = u.at, detail = u.detail, progress = u.progress,
    players = u.players, progressed_at = u.progressed_at,
    starting_at = coalesce(s.starting_at, u.starting_at), stopping_at = coalesce(s.stopping_at, u.stopping_at),
    deadline_at = CASE WHEN u.status = 'pending' THEN coalesce(u.progressed_at, s.created_at) + $1::interval END
FROM unnest($2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::timestamptz[], $7::text[], $8::real[], $9::integer[],
            $10::timestamptz[], $11::timestamptz[], $12::timestamptz[])
     AS u (id, status, desired, number, at, detail, progress, players, progressed_at, starting_at, stopping_at)
WHERE s.id = u.id
RETURNING s.id;

-- name: update_session_start
UPDATE sessions s
SET status = u.status, desired = u.desired, history_number = u.number, at = u.at, detail = u.detail, progress = u.progress,
    players = u.players, progressed_at = u.progressed_at,
    starting_at = coalesce(s.starting_at, u.starting_at), stopping_at = coalesce(s.stopping_at, u.stopping_at),
    started_at = coalesce(s.started_at, u.started_at), deadline_at = NULL
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[], $6::text[], $7::real[], $8::integer[],
            $9::timestamptz[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[])
     AS u (id, status, desired, number, at, detail, progress, players, progressed_at, starting_at, stopping_at, started_at)
WHERE s.id = u.id
RETURNING s.id;

-- name: update_session_end
UPDATE sessions s
SET status = u.status, desired = u.desired, history_number = u.number, at = u.at, detail = u.detail, progress = u.progress,
    players = u.players, progressed_at = u.progressed_at,
    starting_at = coalesce(s.starting_at, u.starting_at), stopping_at = coalesce(s.stopping_at, u.stopping_at),
    started_at = coalesce(s.started_at, u.started_at), ended_at = coalesce(s.ended_at, u.ended_at), deadline_at = NULL,
    exit_code = u.exit_code, signal = u.signal, reason = u.reason, restart = u.restart
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[], $6::text[], $7::real[], $8::integer[],
            $9::timestamptz[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[], $13::timestamptz[],
            $14::integer[], $15::integer[], $16::text[], $17::jsonb[])
     AS u (id, status, desired, number, at, detail, progress, players, progressed_at, starting_at, stopping_at, started_at,
           ended_at, exit_code, signal, reason, restart)
WHERE s.id = u.id
RETURNING s.id;
