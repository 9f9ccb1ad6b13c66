-- What lists and single reads answer with: a column for each field that the definition lets people filter or sort by.
-- $1 of hosts, deployments and sessions is the span of silence after which a host counts as silent.

-- name: hosts
SELECT h.id AS host_id, h.name, h.draining, h.labels, h.addresses, h.port_first, h.port_last, h.agent_version, h.isolation,
       h.capacity, h.created_at, h.version, b.last_seen,
       CASE WHEN b.last_seen IS NULL THEN 'new'
            WHEN b.online THEN 'online'
            ELSE coalesce((SELECT y.to_status FROM host_history y WHERE y.host = h.id ORDER BY y.number DESC LIMIT 1), 'offline')
       END AS status,
       CASE WHEN b.last_seen IS NULL THEN NULL
            WHEN NOT b.online OR b.last_seen < clock() - $1::interval THEN b.last_seen
            ELSE b.returned_at
       END AS unreachable_since,
       (SELECT count(*) FROM sessions s
         WHERE s.host = h.id AND s.ended_at IS NULL) AS live_sessions,
       (SELECT count(*) FROM deployments d WHERE d.host = h.id) AS deployments,
       m.cpu, m.memory_used, m.memory_total, m.disk_used, m.disk_total
  FROM hosts h
  LEFT JOIN host_heartbeats b ON b.host = h.id
  LEFT JOIN LATERAL (SELECT cpu, memory_used, memory_total, disk_used, disk_total FROM host_samples
                      WHERE host = h.id AND resolution = 10 ORDER BY at DESC LIMIT 1) m ON true

-- name: deployments
SELECT d.id AS deployment_id, d.name, d.status, d.progress, d.detail, d.desired, d.desired_version, d.fresh_version,
       d.seen_version, d.host AS host_id, h.name AS host, h.addresses, d.config AS config_id, d.config_revision,
       c.name AS config, g.id AS game_id, g.name AS game, d.labels, d.parameters, d.overrides, d.restart, d.start_on_boot,
       d.suspended, coalesce(d.gave_up, '') AS gave_up, d.created_at, d.updated_at, d.version, r.spec ->> 'join_url' AS join_url,
       s.id AS session_id, s.status AS session_status, s.reason AS session_reason, s.started_at AS session_started_at,
       s.ended_at AS session_ended_at, s.players AS session_players, s.progress AS session_progress,
       CASE WHEN s.id IS NULL OR s.ended_at IS NOT NULL THEN NULL
            WHEN b.host IS NULL OR NOT b.online OR b.last_seen < clock() - $1::interval THEN coalesce(b.last_seen, s.created_at)
            ELSE b.returned_at
       END AS session_unreachable_since,
       (SELECT jsonb_agg(jsonb_build_object('name', p.name, 'protocol', p.protocol, 'port', p.port, 'address', host(p.address),
                                            'mask', masklen(p.address)) ORDER BY p.name)
          FROM ports p WHERE p.deployment = d.id) AS ports
  FROM deployments d
  JOIN hosts h ON h.id = d.host
  JOIN game_configs c ON c.id = d.config
  JOIN games g ON g.id = c.game
  JOIN config_revisions r ON r.config = d.config AND r.revision = d.config_revision
  LEFT JOIN host_heartbeats b ON b.host = d.host
  LEFT JOIN sessions s ON s.id = d.last_session

-- name: sessions
SELECT s.id AS session_id, s.status, s.host AS host_id, s.deployment AS deployment_id, s.desired, d.name AS deployment,
       h.name AS host, h.addresses, g.name AS game, c.name AS config, s.config_revision, s.run,
       s.ended_at IS NULL AS live, s.previous_session_id, s.created_at, s.starting_at,
       s.started_at, s.stopping_at, s.ended_at, coalesce(s.reason, '') AS reason, s.exit_code, s.signal,
       coalesce(s.detail, '') AS detail, s.progress, s.players, s.restart, s.cause, s.begun_version, s.labels,
       r.spec ->> 'join_url' AS join_url,
       CASE WHEN s.ended_at IS NOT NULL THEN NULL
            WHEN b.host IS NULL OR NOT b.online OR b.last_seen < clock() - $1::interval THEN coalesce(b.last_seen, s.created_at)
            ELSE b.returned_at
       END AS unreachable_since,
       (SELECT jsonb_agg(jsonb_build_object('name', p.name, 'protocol', p.protocol, 'port', p.port, 'address', host(p.address),
                                            'mask', masklen(p.address)) ORDER BY p.name)
          FROM ports p WHERE p.deployment = s.deployment) AS ports
  FROM sessions s
  JOIN deployments d ON d.id = s.deployment
  JOIN hosts h ON h.id = s.host
  JOIN game_configs c ON c.id = s.config
  JOIN games g ON g.id = c.game
  JOIN config_revisions r ON r.config = s.config AND r.revision = s.config_revision
  LEFT JOIN host_heartbeats b ON b.host = s.host

-- name: games
SELECT g.id AS game_id, g.name, g.title, g.description, g.labels, g.created_at, g.updated_at, g.version,
       (SELECT count(*) FROM game_configs c WHERE c.game = g.id) AS configs
  FROM games g

-- name: configs
SELECT c.id AS config_id, c.game AS game_id, g.name AS game, c.name, c.revision, c.description, c.created_at, c.updated_at,
       c.version, r.spec
  FROM game_configs c
  JOIN games g ON g.id = c.game
  JOIN config_revisions r ON r.config = c.id AND r.revision = c.revision

-- name: dead_letters
SELECT d.id AS dead_letter_id, d.key, d.headers, d.body, d.reason, d.detail, d.host AS host_id, d.sequence, d.at, d.replayed_at,
       d.replayed_at IS NULL AS open
  FROM dead_letters d

-- name: crash_tail
SELECT tail FROM crash_reports WHERE session = $1

-- name: ports_of_host
SELECT p.host AS host_id, host(p.address) AS address, p.port, p.protocol, p.deployment AS deployment_id, d.name AS deployment,
       p.name
  FROM ports p JOIN deployments d ON d.id = p.deployment
 WHERE p.host = $1
 ORDER BY p.port, p.protocol, p.address

-- name: session_history
SELECT number, from_status, to_status, at, recorded_at, cause, trace_id FROM session_history
 WHERE session = $1 AND number > $2 ORDER BY number LIMIT $3

-- name: deployment_history
SELECT number, from_status, to_status, at, recorded_at, cause, trace_id FROM deployment_history
 WHERE deployment = $1 AND number > $2 ORDER BY number LIMIT $3

-- name: host_history
SELECT number, from_status, to_status, at, recorded_at, cause, trace_id FROM host_history
 WHERE host = $1 AND number > $2 ORDER BY number LIMIT $3

-- name: config_revisions
SELECT config AS config_id, revision, spec, created_at, created_by FROM config_revisions
 WHERE config = $1 AND ($2 = 0 OR revision < $2) ORDER BY revision DESC LIMIT $3

-- name: join_tokens
SELECT id AS join_token_id, uses, used, host AS host_id, created_at, created_by, expires_at, revoked_at IS NOT NULL AS revoked
  FROM join_tokens WHERE $1 = 0 OR id < $1 ORDER BY id DESC LIMIT $2

-- name: installation
SELECT i.id, i.epoch, clock() AS time,
       CASE WHEN p.last IS NULL THEN i.created_at
            WHEN p.last < clock() - interval '3 seconds' THEN p.last
       END AS deaf_since,
       (SELECT value FROM counters WHERE name = 'events') AS position,
       (SELECT count(*) FROM dead_letters WHERE replayed_at IS NULL) AS open_dead_letters,
       (SELECT coalesce(sum(players), 0) FROM sessions
         WHERE ended_at IS NULL) AS players
  FROM installation i, pulse p

-- name: session_counts
SELECT status, count(*) AS count FROM sessions
 WHERE ended_at IS NULL GROUP BY status
UNION ALL
SELECT status, count(*) FROM sessions WHERE ended_at > clock() - interval '1 day' GROUP BY status

-- name: host_counts
SELECT CASE WHEN b.last_seen IS NULL THEN 'new' WHEN b.online THEN 'online' ELSE 'offline' END AS status, count(*) AS count
  FROM hosts h LEFT JOIN host_heartbeats b ON b.host = h.id GROUP BY 1

-- name: deployment_counts
SELECT status, count(*) AS count FROM deployments GROUP BY status

-- name: watch_from
SELECT i.epoch, c.value AS position FROM installation i, counters c WHERE c.name = 'events'

-- name: now
SELECT clock()
