-- What the clock makes due. Candidates are found without a lock where rules decide; where a row is only marked, it is locked first.

-- name: pulse
SELECT last, since, clock() AS now FROM pulse

-- name: stale_hosts
-- Hosts that fell silent and have not come back, and all that count: one that is gone for good and holds nothing any more does not.
SELECT count(*) FILTER (WHERE NOT b.online AND b.beat <> 9223372036854775807) AS stale, count(*) AS heard
  FROM host_heartbeats b
 WHERE b.last_seen IS NOT NULL
   AND (b.online OR EXISTS (SELECT FROM sessions s
                             WHERE s.host = b.host AND s.status IN ('pending', 'starting', 'running', 'stopping')))

-- name: due_starts
-- Pending beyond the deadline, on a host that is fresh, of whose last journal everything is settled that a heartbeat named.
SELECT s.id
  FROM sessions s
  JOIN host_heartbeats b ON b.host = s.host
 WHERE s.status = 'pending' AND s.deadline_at < clock()
   AND b.online AND b.last_seen > clock() - $1::interval AND b.returned_at IS NULL
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
   SET ids = l.ids + ($2::text::int8multirange - used.ids
                      - (SELECT coalesce(range_agg(o.ids), '{}') FROM session_leases o WHERE o.host <> $1))
  FROM used WHERE l.host = $1
RETURNING l.ids

-- name: hosts_to_ask
-- Fresh hosts that came back without a report, or from whose journal something is missing without progress.
SELECT b.host FROM host_heartbeats b
 WHERE b.online AND b.last_seen > clock() - $1::interval
   AND (b.asked_at IS NULL OR b.asked_at < clock() - $1::interval)
   AND (b.returned_at IS NOT NULL
        OR EXISTS (SELECT FROM host_journals j WHERE j.host = b.host AND j.hole_since < clock() - $1::interval))
 ORDER BY b.host LIMIT $2

-- name: hosts_that_differ
-- Fresh hosts whose fingerprint of live sessions is not that of the rows and the listed strays. Who tells none is not asked.
WITH rows AS (
    SELECT s.host, count(*) AS n, bit_xor(s.id) AS x FROM sessions s
     WHERE s.status IN ('pending', 'starting', 'running', 'stopping') GROUP BY s.host),
listed AS (
    SELECT y.host, count(*) AS n, bit_xor(y.session) AS x FROM strays y
     WHERE NOT EXISTS (SELECT FROM sessions s WHERE s.id = y.session AND s.host = y.host
                          AND s.status IN ('pending', 'starting', 'running', 'stopping'))
     GROUP BY y.host)
SELECT b.host
  FROM host_heartbeats b LEFT JOIN rows r ON r.host = b.host LEFT JOIN listed y ON y.host = b.host
 WHERE b.online AND b.boot > 0 AND b.last_seen > clock() - $1::interval
   AND (b.asked_at IS NULL OR b.asked_at < clock() - $1::interval)
   AND (b.live_count <> coalesce(r.n, 0) + coalesce(y.n, 0) OR b.live_xor <> coalesce(r.x, 0) # coalesce(y.x, 0))
 ORDER BY b.host LIMIT $2

-- name: ask
UPDATE host_heartbeats b SET asked_at = clock()
  FROM (SELECT host FROM host_heartbeats WHERE host = ANY($1::bigint[]) ORDER BY host FOR UPDATE SKIP LOCKED) x
 WHERE b.host = x.host
RETURNING b.host

-- name: lost_hosts
-- Away for too long, with sessions that are still live.
SELECT b.host FROM host_heartbeats b
 WHERE NOT b.online AND b.last_seen < clock() - $1::interval
   AND EXISTS (SELECT FROM sessions s WHERE s.host = b.host AND s.status IN ('pending', 'starting', 'running', 'stopping'))
 ORDER BY b.host LIMIT $2

-- name: forget_sessions
DELETE FROM sessions WHERE id IN (
    SELECT id FROM sessions WHERE status IN ('stopped', 'crashed') AND ended_at < clock() - $1::interval
     ORDER BY ended_at, id LIMIT $2)

-- name: forget_host_history
DELETE FROM host_history WHERE (host, number) IN (
    SELECT host, number FROM host_history WHERE recorded_at < clock() - $1::interval LIMIT $2)

-- name: forget_deployment_history
DELETE FROM deployment_history WHERE (deployment, number) IN (
    SELECT deployment, number FROM deployment_history WHERE recorded_at < clock() - $1::interval LIMIT $2)

-- name: forget_dead_letters
DELETE FROM dead_letters WHERE id IN (
    SELECT id FROM dead_letters WHERE at < clock() - $1::interval ORDER BY at, id LIMIT $2)

-- name: forget_events
-- Never one that is not published yet.
DELETE FROM events e WHERE (e.epoch, e.position) IN (
    SELECT o.epoch, o.position FROM events o, installation i
     WHERE o.at < clock() - $1::interval
       AND (o.epoch < i.epoch OR o.position <= (SELECT value FROM counters WHERE name = 'published'))
     ORDER BY o.epoch, o.position LIMIT $2)

-- name: forget_replies
DELETE FROM idempotency WHERE (caller, key) IN (
    SELECT caller, key FROM idempotency WHERE created_at < clock() - interval '24 hours' LIMIT $1)

-- name: forget_journals
DELETE FROM host_journals WHERE (host, journal) IN (
    SELECT host, journal FROM host_journals WHERE last_used < clock() - interval '30 days' LIMIT $1)

-- name: forget_attempts
DELETE FROM attempts WHERE message IN (
    SELECT message FROM attempts WHERE last_at < clock() - interval '1 day' LIMIT $1)

-- name: forget_samples
DELETE FROM host_samples WHERE (host, resolution, at) IN (
    SELECT host, resolution, at FROM host_samples
     WHERE (resolution = 10 AND at < clock() - interval '1 hour') OR (resolution = 60 AND at < clock() - interval '1 day')
        OR at < clock() - interval '30 days' LIMIT $1)

-- name: sum_up_samples
-- A coarser sample of what is complete: $1 is the finer resolution in seconds, $2 the coarser.
INSERT INTO host_samples (host, resolution, at, cpu, memory_used, memory_total, disk_used, disk_total, players)
SELECT f.host, $2::integer, date_bin(make_interval(secs => $2), f.at, 'epoch'), avg(f.cpu), avg(f.memory_used)::bigint,
       max(f.memory_total), avg(f.disk_used)::bigint, max(f.disk_total), max(f.players)
  FROM host_samples f
 WHERE f.resolution = $1::integer
   AND f.at >= date_bin(make_interval(secs => $2), clock(), 'epoch') - make_interval(secs => 3 * $2)
   AND f.at < date_bin(make_interval(secs => $2), clock(), 'epoch')
 GROUP BY f.host, date_bin(make_interval(secs => $2), f.at, 'epoch')
ON CONFLICT DO NOTHING
