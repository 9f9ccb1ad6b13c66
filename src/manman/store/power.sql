-- name: lock_deployment
SELECT id, name, host, config, config_revision, status, suspended, desired, desired_version, fresh_version, seen_version,
       last_run, last_session, gave_up, gave_up_version, history_number, version, labels
  FROM deployments WHERE id = $1 FOR UPDATE

-- name: deployment_of
SELECT deployment FROM sessions WHERE id = $1

-- name: standing
SELECT h.id AS host, h.name, h.draining, coalesce(b.online, false) AS online, b.last_seen, i.epoch, clock() AS now,
       (SELECT s.id FROM sessions s WHERE s.deployment = $2
          AND s.status IN ('pending', 'starting', 'running', 'stopping')) AS live,
       (SELECT coalesce(max(s.run), 0) FROM sessions s WHERE s.deployment = $2) AS last_run
  FROM hosts h LEFT JOIN host_heartbeats b ON b.host = h.id, installation i
 WHERE h.id = $1

-- name: set_wish
UPDATE deployments
   SET desired = $2, desired_version = $3, fresh_version = $4, gave_up = NULL, gave_up_version = NULL, sent_at = clock(),
       updated_at = clock()
 WHERE id = $1

-- name: next_session
SELECT nextval(pg_get_serial_sequence('sessions', 'id'))

-- name: add_session
INSERT INTO sessions (id, host, deployment, status, desired, run, begun_version, cause, created_at, at, deadline_at, config,
                      config_revision, deployment_version, labels, history_number, previous_session_id)
VALUES ($1, $2, $3, 'pending', 'running', $4, $5, $6, clock(), clock(), clock() + $7::interval, $8, $9, $10, $11, 1, $12)
ON CONFLICT (deployment) WHERE status IN ('pending', 'starting', 'running', 'stopping') DO NOTHING
RETURNING id

-- name: add_history
INSERT INTO session_history (session, number, from_status, to_status, at, recorded_at, cause, trace_id)
VALUES ($1, 1, NULL, 'pending', clock(), clock(), $2, $3)

-- name: took
UPDATE deployments SET last_run = greatest(last_run, $2), last_session = $3 WHERE id = $1

-- name: lock_session
SELECT id, host, deployment, status, desired, run, begun_version FROM sessions WHERE id = $1 FOR UPDATE

-- name: want_stopped
UPDATE sessions SET desired = 'stopped' WHERE id = $1 AND status IN ('pending', 'starting', 'running', 'stopping')

-- name: names
SELECT g.name AS game, c.name AS config, d.name AS deployment, h.name AS host, d.labels, h.addresses,
       r.spec ->> 'join_url' AS join_url,
       (SELECT jsonb_agg(jsonb_build_object('name', p.name, 'protocol', p.protocol, 'port', p.port, 'address', host(p.address),
                                            'mask', masklen(p.address)) ORDER BY p.name)
          FROM ports p WHERE p.deployment = d.id) AS ports
  FROM deployments d
  JOIN hosts h ON h.id = d.host
  JOIN game_configs c ON c.id = d.config
  JOIN games g ON g.id = c.game
  JOIN config_revisions r ON r.config = d.config AND r.revision = d.config_revision
 WHERE d.id = $1
