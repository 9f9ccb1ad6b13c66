-- What the clock makes due. Candidates are found without a lock where rules decide; where a row is only marked, it is locked first.

-- name: pulse
SELECT last, since, clock() AS now FROM pulse

-- name: stale_hosts
-- Hosts that fell silent and have not come back, and all that count: one that is gone for good and holds nothing any more does not.
SELECT count(*) FILTER (WHERE NOT b.online AND b.beat <> 9223372036854775807) AS stale, count(*) AS heard
  FROM host_heartbeats b
 WHERE b.last_seen IS NOT NULL
   AND (b.online OR EXISTS (SELECT FROM sessions s
                             WHERE s.host = b.host AND s.ended_at IS NULL))

-- name: due_starts
-- Pending beyond the deadline, on a host that is fresh, has reported since the last restore, and of whose last journal everything
-- is settled that a heartbeat named.
SELECT s.id
  FROM sessions s
  JOIN host_heartbeats b ON b.host = s.host
 WHERE s.status = 'pending' AND s.deadline_at < clock()
   AND b.online AND b.last_seen > clock() - $1::interval AND b.returned_at IS NULL
   AND s.host <> ALL (ARRAY(SELECT l.host FROM session_leases l WHERE l.epoch < (SELECT epoch FROM installation)))
   AND NOT EXISTS (
       SELECT FROM (SELECT j.seen, j.told FROM host_journals j WHERE j.host = s.host ORDER BY j.last_used DESC LIMIT 1) j
        WHERE j.told > 0 AND NOT j.seen @> int8range(1, j.told, '[]'))
 ORDER BY s.deadline_at LIMIT $2

-- name: unseen_wishes
-- Wishes that their fresh hosts have not seen and that were not sent lately; marked as sent.
WITH due AS (
    SELECT d.id FROM deployments d JOIN host_heartbeats b ON b.host = d.host
     WHERE d.seen_version < d.desired_version AND b.online AND b.last_seen > clock() - $1::interval
       AND (d.sent_at IS NULL OR d.sent_at < clock() - $1::interval)
     ORDER BY d.id LIMIT $2 FOR UPDATE OF d SKIP LOCKED)
UPDATE deployments d SET sent_at = clock() FROM due WHERE d.id = due.id
RETURNING d.id, d.host, d.desired, d.desired_version, d.fresh_version, d.version

-- name: unseen_places
-- Installs that their fresh hosts have not taken up, and removals that are not done; marked as sent.
WITH due AS (
    SELECT d.id FROM deployments d JOIN host_heartbeats b ON b.host = d.host
     WHERE (d.status = 'removing' OR (d.status = 'installing' AND d.seen_deployment_version < d.version))
       AND b.online AND b.last_seen > clock() - $1::interval
       AND (d.sent_at IS NULL OR d.sent_at < clock() - $1::interval)
     ORDER BY d.id LIMIT $2 FOR UPDATE OF d SKIP LOCKED)
UPDATE deployments d SET sent_at = clock() FROM due WHERE d.id = due.id
RETURNING d.id, d.host, d.status, d.version, d.desired, d.desired_version, d.fresh_version

-- name: revocations
-- Old hosts of deployments that were moved or removed by force, and have not seen it yet; marked as sent.
WITH due AS (
    SELECT r.host, r.deployment FROM revocations r JOIN host_heartbeats b ON b.host = r.host
     WHERE b.online AND b.last_seen > clock() - $1::interval
       AND (r.sent_at IS NULL OR r.sent_at < clock() - $1::interval)
     ORDER BY r.host, r.deployment LIMIT $2 FOR UPDATE OF r SKIP LOCKED)
UPDATE revocations r SET sent_at = clock() FROM due WHERE r.host = due.host AND r.deployment = due.deployment
RETURNING r.host, r.deployment, r.version

-- name: release
DELETE FROM revocations r USING unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS u (host, deployment, version)
 WHERE r.host = u.host AND r.deployment = u.deployment AND u.version >= r.version

-- name: take_over_lease
WITH used AS (
    SELECT coalesce(range_agg(int8range(s.id, s.id, '[]')), '{}') AS ids
      FROM unnest($2::text::int8multirange) AS part (ids) JOIN sessions s ON s.id >= lower(part.ids) AND s.id < upper(part.ids))
UPDATE session_leases l
   SET epoch = i.epoch,
       ids = CASE WHEN l.epoch < i.epoch THEN '{}' ELSE l.ids END
             + ($2::text::int8multirange - used.ids
                - (SELECT coalesce(range_agg(o.ids), '{}') FROM session_leases o WHERE o.host <> $1))
  FROM used, installation i WHERE l.host = $1
RETURNING l.ids

-- name: hosts_to_ask
-- Fresh hosts whose report is due, that came back without one, that have not reported since a restore, from whose journal something is
-- missing without progress, or that are in the second list. Who that is, is found first, by keys: usually nobody, after a restore everybody. Those come
-- first who were asked never, or longest ago; at most $3, less whoever was asked within the threshold, or within $4 and is still due:
-- their reports are on the way.
WITH due AS (
    SELECT b.host FROM host_heartbeats b WHERE b.returned_at IS NOT NULL
     UNION
    SELECT b.host FROM session_leases l JOIN host_heartbeats b ON b.host = l.host
     WHERE l.epoch < (SELECT epoch FROM installation) AND b.boot > 0
     UNION
    SELECT j.host FROM host_journals j WHERE j.hole_since < clock() - $1::interval
     UNION
    SELECT r.host FROM reports_due r
     UNION
    SELECT unnest($2::bigint[])),
asked AS (
    SELECT count(*) AS many FROM host_heartbeats b
     WHERE EXISTS (SELECT FROM due)
       AND (b.asked_at > clock() - $1::interval
            OR (b.asked_at > clock() - $4::interval AND b.host IN (SELECT host FROM due))))
SELECT b.host FROM host_heartbeats b
 WHERE b.host IN (SELECT host FROM due) AND b.online AND b.last_seen > clock() - $1::interval
   AND (b.asked_at IS NULL OR b.asked_at <= clock() - $1::interval)
 ORDER BY b.asked_at NULLS FIRST, b.host
 LIMIT (SELECT greatest($3::bigint - many, 0) FROM asked)

-- name: holed
SELECT count(*) FROM host_journals WHERE host = ANY ($1::bigint[]) AND hole_since < clock() - $2::interval

-- name: slice
-- The end of the next piece of hosts by key, and how many they are: what looks at all of them does so in pieces.
SELECT max(x.host) AS last, count(*) AS many
  FROM (SELECT b.host FROM host_heartbeats b WHERE b.host > $1 ORDER BY b.host LIMIT $2) x

-- name: hosts_that_differ
-- Fresh hosts of a piece whose fingerprint of live sessions is not that of the rows and the listed strays. Who tells none is not
-- asked. Rows and strays are read once a piece: what begins is new to the planner, who would read them all again for each host.
WITH live AS MATERIALIZED (
    SELECT s.host, s.id FROM sessions s
     WHERE s.host > $2 AND s.host <= $3 AND s.ended_at IS NULL),
rows AS MATERIALIZED (
    SELECT host, count(*) AS n, bit_xor(id) AS x FROM live GROUP BY host),
listed AS MATERIALIZED (
    SELECT y.host, count(*) AS n, bit_xor(y.session) AS x FROM strays y
     WHERE y.host > $2 AND y.host <= $3 AND NOT EXISTS (SELECT FROM live WHERE live.id = y.session AND live.host = y.host)
     GROUP BY y.host)
SELECT b.host
  FROM host_heartbeats b LEFT JOIN rows r ON r.host = b.host LEFT JOIN listed y ON y.host = b.host
 WHERE b.host > $2 AND b.host <= $3
   AND b.online AND b.boot > 0 AND b.last_seen > clock() - $1::interval
   AND (b.asked_at IS NULL OR b.asked_at < clock() - $1::interval)
   AND (b.live_count <> coalesce(r.n, 0) + coalesce(y.n, 0) OR b.live_xor <> coalesce(r.x, 0) # coalesce(y.x, 0))
 ORDER BY b.host

-- name: ask
UPDATE host_heartbeats b SET asked_at = clock()
  FROM (SELECT host FROM host_heartbeats WHERE host = ANY($1::bigint[]) ORDER BY host FOR UPDATE SKIP LOCKED) x
 WHERE b.host = x.host
RETURNING b.host

-- name: note_reports
-- Reports of the hosts of the first list came; those of the second, none of which is in the first, are due.
WITH came AS (DELETE FROM reports_due WHERE host = ANY($1::bigint[]))
INSERT INTO reports_due (host, since) SELECT x.host, clock() FROM unnest($2::bigint[]) AS x (host) ORDER BY x.host
ON CONFLICT DO NOTHING

-- name: lost_hosts
-- Away for too long, with sessions that are still live.
SELECT b.host FROM host_heartbeats b
 WHERE NOT b.online AND b.last_seen < clock() - $1::interval
   AND EXISTS (SELECT FROM sessions s WHERE s.host = b.host AND s.ended_at IS NULL)
 ORDER BY b.host LIMIT $2

-- name: forget_sessions
DELETE FROM sessions WHERE id IN (
    SELECT id FROM sessions WHERE status IN ('stopped', 'crashed') AND ended_at < clock() - $1::interval
     ORDER BY ended_at, id LIMIT $2)

-- name: forget_host_history
DELETE FROM host_history WHERE host > $1 AND host <= $2 AND recorded_at < clock() - $3::interval

-- name: forget_deployment_history
DELETE FROM deployment_history WHERE (deployment, number) IN (
    SELECT deployment, number FROM deployment_history WHERE recorded_at < clock() - $1::interval LIMIT $2)

-- name: forget_dead_letters
DELETE FROM dead_letters WHERE id IN (
    SELECT id FROM dead_letters WHERE at < clock() - $1::interval ORDER BY at, id LIMIT $2)

-- name: forget_events
-- Of the oldest, which are the first by position, never one that is not published yet.
DELETE FROM events e
 USING (SELECT epoch, position, at FROM events ORDER BY epoch, position LIMIT $2) o, installation i
 WHERE e.epoch = o.epoch AND e.position = o.position AND o.at < clock() - $1::interval
   AND (o.epoch < i.epoch OR o.position <= (SELECT value FROM counters WHERE name = 'published'))

-- name: forget_replies
DELETE FROM idempotency WHERE (caller, key) IN (
    SELECT caller, key FROM idempotency WHERE created_at < clock() - interval '24 hours' LIMIT $1)

-- name: forget_journals
DELETE FROM host_journals WHERE host > $1 AND host <= $2 AND last_used < clock() - interval '30 days'

-- name: forget_attempts
DELETE FROM attempts WHERE message IN (
    SELECT message FROM attempts WHERE last_at < clock() - interval '1 day' LIMIT $1)

-- name: forget_samples
-- Of a piece of the hosts, by resolution, each host by its keys.
DELETE FROM host_samples WHERE ctid = ANY (ARRAY(
    SELECT f.ctid
      FROM host_heartbeats b
     CROSS JOIN (VALUES (10, interval '1 hour'), (60, interval '1 day'), (600, interval '30 days')) AS kept (resolution, span)
     CROSS JOIN LATERAL (
           SELECT o.ctid FROM host_samples o
            WHERE o.host = b.host AND o.resolution = kept.resolution AND o.at < clock() - kept.span OFFSET 0) f
     WHERE b.host > $1 AND b.host <= $2))

-- name: sum_up_samples
-- A coarser sample of what is complete, for a piece of the hosts: $1 is the finer resolution in seconds, $2 the coarser. Each host's
-- own are looked up: what is new is beyond the statistics, so that the planner expects none and joins by trying all pairs.
INSERT INTO host_samples (host, resolution, at, cpu, memory_used, memory_total, disk_used, disk_total, players)
SELECT b.host, $2::integer, f.begin, f.cpu, f.memory_used, f.memory_total, f.disk_used, f.disk_total, f.players
  FROM host_heartbeats b
 CROSS JOIN LATERAL (
       SELECT date_bin(make_interval(secs => $2), o.at, 'epoch') AS begin, avg(o.cpu) AS cpu, avg(o.memory_used)::bigint AS memory_used,
              max(o.memory_total) AS memory_total, avg(o.disk_used)::bigint AS disk_used, max(o.disk_total) AS disk_total,
              max(o.players) AS players
         FROM host_samples o
        WHERE o.host = b.host AND o.resolution = $1::integer
          AND o.at >= date_bin(make_interval(secs => $2), clock(), 'epoch') - make_interval(secs => 3 * $2)
          AND o.at < date_bin(make_interval(secs => $2), clock(), 'epoch')
        GROUP BY 1) f
 WHERE b.host > $3 AND b.host <= $4
ON CONFLICT DO NOTHING
