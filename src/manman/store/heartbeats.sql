-- What comes with heartbeats beside liveness.

-- name: told
-- How far a journal is said to be written. Nothing is written nor locked when all of it is settled, which is the usual case.
INSERT INTO host_journals AS j (host, journal, told, hole_since, last_used)
SELECT u.host, u.journal, u.told, clock(), clock()
  FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS u (host, journal, told)
 WHERE NOT EXISTS (SELECT FROM host_journals s
                    WHERE s.host = u.host AND s.journal = u.journal AND s.seen @> int8range(1, u.told, '[]') AND s.hole_since IS NULL)
   AND EXISTS (SELECT FROM hosts h WHERE h.id = u.host)
 ORDER BY u.host, u.journal
ON CONFLICT (host, journal) DO UPDATE
   SET told = greatest(j.told, excluded.told), last_used = clock(),
       hole_since = CASE WHEN j.seen @> int8range(1, excluded.told, '[]') THEN NULL ELSE coalesce(j.hole_since, clock()) END
 WHERE NOT j.seen @> int8range(1, excluded.told, '[]') OR j.hole_since IS NOT NULL

-- name: samples
-- One of ten seconds for each host: the first that arrives.
INSERT INTO host_samples (host, resolution, at, cpu, memory_used, memory_total, disk_used, disk_total, players)
SELECT u.host, 10, date_bin('10 seconds', clock(), 'epoch'), u.cpu, u.memory_used, u.memory_total, u.disk_used, u.disk_total,
       u.players
  FROM unnest($1::bigint[], $2::real[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::integer[])
       AS u (host, cpu, memory_used, memory_total, disk_used, disk_total, players)
ON CONFLICT DO NOTHING

-- name: players
WITH told AS (
    SELECT s.id, u.players
      FROM unnest($1::bigint[], $2::bigint[], $3::integer[]) AS u (host, session, players)
      JOIN sessions s ON s.id = u.session AND s.host = u.host
     WHERE s.ended_at IS NULL AND s.players IS DISTINCT FROM u.players
     ORDER BY s.id FOR UPDATE OF s SKIP LOCKED)
UPDATE sessions s SET players = told.players FROM told WHERE s.id = told.id
