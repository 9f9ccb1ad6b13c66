-- Locks in the order of the house: heartbeats, journals, session leases, deployments, sessions. Each by key. What hangs on locked
-- rows is read by the statement that locks them, after the wait.

-- name: lock_hosts
SELECT b.host, b.online, b.boot, b.beat, b.last_seen, b.returned_at, b.asked_at, b.journal
  FROM host_heartbeats b WHERE b.host = ANY($1::bigint[]) ORDER BY b.host FOR UPDATE

-- name: read_hosts
SELECT h.id AS host, coalesce(b.online, false) AS online, coalesce(b.boot, 0) AS boot, coalesce(b.beat, 0) AS beat,
       b.last_seen, b.returned_at, b.asked_at, b.journal, clock() AS now
  FROM hosts h LEFT JOIN host_heartbeats b ON b.host = h.id WHERE h.id = ANY($1::bigint[])

-- name: make_heartbeats
INSERT INTO host_heartbeats (host)
SELECT h.id FROM hosts h WHERE h.id = ANY($1::bigint[]) AND NOT EXISTS (SELECT FROM host_heartbeats b WHERE b.host = h.id)
 ORDER BY h.id ON CONFLICT DO NOTHING

-- name: make_journals
INSERT INTO host_journals (host, journal, last_used)
SELECT x.host, x.journal, clock() FROM unnest($1::bigint[], $2::text[]) AS x (host, journal)
 WHERE EXISTS (SELECT FROM hosts h WHERE h.id = x.host)
 ORDER BY x.host, x.journal ON CONFLICT DO NOTHING

-- name: lock_journals
-- And who of the third list exists and how they were heard, unlocked; and the database's clock.
WITH locked AS MATERIALIZED (
    SELECT j.host, j.journal, j.seen
      FROM host_journals j JOIN unnest($1::bigint[], $2::text[]) AS x (host, journal) USING (host, journal)
     ORDER BY j.host, j.journal FOR UPDATE OF j)
SELECT clock() AS now,
       (SELECT json_agg(json_build_array(
                   l.host, l.journal, (SELECT json_agg(json_build_array(lower(r), upper(r) - 1)) FROM unnest(l.seen) AS r)))
          FROM locked l)::text AS journals,
       (SELECT json_agg(json_build_array(h.id, coalesce(b.online, false), coalesce(b.boot, 0), coalesce(b.beat, 0), b.last_seen,
                                         b.returned_at, b.asked_at, b.journal))
          FROM hosts h LEFT JOIN host_heartbeats b ON b.host = h.id WHERE h.id = ANY($3::bigint[]))::text AS hosts

-- name: holed_journals
SELECT host, journal, greatest(told, coalesce(upper(seen), 1) - 1) AS last
  FROM host_journals WHERE host = ANY($1::bigint[]) AND hole_since IS NOT NULL

-- name: leased_to
SELECT x.id, l.host FROM unnest($1::bigint[]) AS x (id) JOIN session_leases l ON l.ids @> x.id

-- name: last_id
SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence('sessions', 'id')), 0)

-- name: deployments_of_live
-- And those whose wish their host has heard once, or that count a run: a report that does not name one says that it is forgotten.
SELECT deployment FROM sessions
 WHERE host = ANY($1::bigint[]) AND ended_at IS NULL
 UNION SELECT id FROM deployments WHERE host = ANY($1::bigint[]) AND (seen_version > 0 OR last_run > 0)

-- name: lock_leases
SELECT l.host, l.ids, l.epoch < (SELECT i.epoch FROM installation i) AS unheard,
       (SELECT count(*) FROM deployments d WHERE d.host = l.host) AS deployments
  FROM session_leases l WHERE l.host = ANY($1::bigint[]) ORDER BY l.host FOR UPDATE OF l

-- name: lock_deployments
SELECT d.id, d.host AS host_id, d.name, d.status, d.desired, d.desired_version, d.fresh_version, d.seen_version, d.last_run,
       d.history_number AS number, d.version, d.config, d.config_revision, d.seen_deployment_version, d.last_session, d.gave_up,
       d.gave_up_version, d.progress, d.detail, d.suspended
  FROM deployments d
 WHERE d.id = ANY(ARRAY(SELECT unnest($1::bigint[]) UNION SELECT s.deployment FROM sessions s WHERE s.id = ANY($2::bigint[])))
 ORDER BY d.id FOR UPDATE

-- name: lock_sessions
-- Before them, of the deployments of the sessions in the fourth list those whose host was heard to hold another wish (the fifth) than
-- it said last, or to have taken a higher run; after them, the names around the sixth list. What hangs on a deployment that somebody
-- else had locked is not read here.
WITH heard AS MATERIALIZED (
    SELECT d.id, d.host AS host_id, d.name, d.status, d.desired, d.desired_version, d.fresh_version, d.seen_version, d.last_run,
           d.history_number AS number, d.version, d.config, d.config_revision, d.seen_deployment_version, d.last_session, d.gave_up,
           d.gave_up_version, d.progress, d.detail, d.suspended
      FROM deployments d
     WHERE d.id = ANY(ARRAY(
               SELECT e.id FROM unnest($4::bigint[], $5::bigint[]) AS x (session, version)
                 JOIN sessions s ON s.id = x.session
                 JOIN deployments e ON e.id = s.deployment
                      AND (e.seen_version <> x.version OR e.desired_version < x.version OR e.last_run < s.run)))
     ORDER BY d.id FOR UPDATE
), locked AS MATERIALIZED (
    SELECT s.id, s.deployment, s.host, s.status, s.desired, s.run, s.history_number, s.at, s.begun_version, s.previous_session_id,
           s.cause, s.config, s.config_revision, s.deployment_version, s.launch, s.created_at, s.started_at, s.ended_at,
           s.progressed_at, s.exit_code, s.signal, s.reason, s.detail, s.progress, s.players
      FROM sessions s
     WHERE (SELECT count(*) FROM heard) >= 0 AND s.id = ANY(ARRAY(
               SELECT unnest($1::bigint[])
                UNION SELECT l.id FROM sessions l WHERE l.deployment = ANY($2::bigint[]) AND l.ended_at IS NULL
                UNION SELECT l.id FROM sessions l WHERE l.host = ANY($3::bigint[]) AND l.ended_at IS NULL))
     ORDER BY s.id FOR UPDATE)
SELECT (SELECT json_agg(h) FROM heard h)::text AS deployments,
       (SELECT json_agg(json_build_array(
                   l.id, l.deployment, l.host, l.status, l.desired, l.run, l.history_number, l.at, l.begun_version,
                   l.previous_session_id, l.cause, l.config, l.config_revision, l.deployment_version, l.launch, l.created_at,
                   l.started_at, l.ended_at, l.progressed_at, l.exit_code, l.signal, l.reason, l.detail, l.progress, l.players))
          FROM locked l)::text AS sessions,
       (SELECT json_agg(json_build_array(
                   s.id, g.name, c.name, s.config_revision, d.name, h.name, nullif(d.labels, '{}'), h.addresses,
                   coalesce((r.spec ->> 'withhold_tail')::boolean, false), r.spec ->> 'join_url',
                   (SELECT json_agg(json_build_array(p.name, p.protocol, p.port, host(p.address), masklen(p.address)) ORDER BY p.name)
                      FROM ports p WHERE p.deployment = s.deployment)))
          FROM sessions s
          JOIN deployments d ON d.id = s.deployment
          JOIN hosts h ON h.id = s.host
          JOIN game_configs c ON c.id = s.config
          JOIN games g ON g.id = c.game
          JOIN config_revisions r ON r.config = s.config AND r.revision = s.config_revision
         WHERE s.id = ANY($6::bigint[]))::text AS names

-- name: now
SELECT clock()

-- name: session_names
SELECT json_agg(json_build_array(
           s.id, g.name, c.name, s.config_revision, d.name, h.name, nullif(d.labels, '{}'), h.addresses,
           coalesce((r.spec ->> 'withhold_tail')::boolean, false), r.spec ->> 'join_url',
           (SELECT json_agg(json_build_array(p.name, p.protocol, p.port, host(p.address), masklen(p.address)) ORDER BY p.name)
              FROM ports p WHERE p.deployment = d.id)))::text
  FROM sessions s
  JOIN deployments d ON d.id = s.deployment
  JOIN hosts h ON h.id = s.host
  JOIN game_configs c ON c.id = s.config
  JOIN games g ON g.id = c.game
  JOIN config_revisions r ON r.config = s.config AND r.revision = s.config_revision
 WHERE s.id = ANY($1::bigint[])

-- name: deployment_names
SELECT json_agg(json_build_array(
           d.id, g.name, c.name, d.config_revision, d.name, h.name, nullif(d.labels, '{}'), h.addresses,
           coalesce((r.spec ->> 'withhold_tail')::boolean, false), r.spec ->> 'join_url',
           (SELECT json_agg(json_build_array(p.name, p.protocol, p.port, host(p.address), masklen(p.address)) ORDER BY p.name)
              FROM ports p WHERE p.deployment = d.id)))::text
  FROM deployments d
  JOIN hosts h ON h.id = d.host
  JOIN game_configs c ON c.id = d.config
  JOIN games g ON g.id = c.game
  JOIN config_revisions r ON r.config = d.config AND r.revision = d.config_revision
 WHERE d.id = ANY($1::bigint[])

-- name: host_names
SELECT h.id, h.name, h.labels, h.agent_version FROM hosts h WHERE h.id = ANY($1::bigint[])

-- name: live_on_hosts
SELECT s.id, s.deployment AS deployment_id, s.host AS host_id, s.status, s.desired, s.run, s.history_number AS number, s.at,
       s.begun_version, s.previous_session_id, s.cause, s.config, s.config_revision, s.deployment_version, s.launch, s.created_at,
       s.started_at, s.ended_at, s.progressed_at, s.exit_code, s.signal, s.reason, s.detail, s.progress, s.players
  FROM sessions s
 WHERE s.host = ANY($1::bigint[]) AND s.ended_at IS NULL ORDER BY s.id
