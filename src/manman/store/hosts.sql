-- name: update_status_and_last_seen
UPDATE host_heartbeats b
SET online = u.online, boot = u.boot, beat = u.beat, last_seen = u.last_seen, returned_at = u.returned_at, asked_at = u.asked_at,
    journal = u.journal
FROM unnest($1::bigint[], $2::boolean[], $3::bigint[], $4::bigint[], $5::timestamptz[], $6::timestamptz[], $7::timestamptz[], $8::text[])
     AS u (host, online, boot, beat, last_seen, returned_at, asked_at, journal)
WHERE b.host = u.host
RETURNING b.host;

-- name: update_last_seen
-- Only what is above the known (boot, beat) counts; who has no boot never reports, so none is waited for; without a boot it is always
-- the newest. The rows are locked in key order first; one that is held right now (its host's report is applied) is passed over, so that
-- nobody else's beat waits. Of those whom theirs would bring back the first $7 come back: each is announced with its sessions, and the
-- transaction stays short. Told are those of whom there is something to tell, few of many.
WITH said AS (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[])
         AS u (host, boot, beat, live_count, live_xor, journal)
), known AS (
    SELECT b.host, b.online, b.boot, b.beat, b.last_seen, b.journal FROM host_heartbeats b
    WHERE b.host IN (SELECT host FROM said) ORDER BY b.host FOR UPDATE SKIP LOCKED
), postponed AS MATERIALIZED (
    SELECT k.host FROM known k JOIN said s ON s.host = k.host
    WHERE NOT k.online AND (s.boot IS NULL OR (s.boot, s.beat) > (k.boot, k.beat)) ORDER BY k.host OFFSET $7::bigint
), beaten AS (
    UPDATE host_heartbeats b
    SET online = true, last_seen = clock(),
        boot = coalesce(s.boot, b.boot), journal = coalesce(s.journal, b.journal),
        beat = CASE WHEN s.boot IS NOT NULL THEN s.beat WHEN b.beat = 9223372036854775807 THEN 0 ELSE b.beat END,
        live_count = coalesce(s.live_count, b.live_count), live_xor = coalesce(s.live_xor, b.live_xor),
        returned_at = CASE WHEN NOT k.online AND k.last_seen IS NOT NULL AND coalesce(s.boot, b.boot) > 0 THEN clock()
                           ELSE b.returned_at END
    FROM said s JOIN known k ON k.host = s.host
    WHERE b.host = k.host AND (s.boot IS NULL OR (s.boot, s.beat) > (k.boot, k.beat)) AND k.host NOT IN (SELECT host FROM postponed)
    RETURNING b.host
)
SELECT s.host, k.host IS NOT NULL OR EXISTS (SELECT FROM host_heartbeats h WHERE h.host = s.host) AS known,
       b.host IS NOT NULL AS counted, s.host IN (SELECT host FROM postponed) AS postponed, k.online, k.boot, k.beat, k.last_seen, k.journal
FROM said s LEFT JOIN known k ON k.host = s.host LEFT JOIN beaten b ON b.host = s.host
WHERE k.host IS NULL OR NOT k.online OR b.host IS NULL;

-- name: touch_pulse
UPDATE pulse
SET since = CASE WHEN last IS NULL OR last < clock() - interval '3 seconds' THEN clock() ELSE since END, last = clock()
RETURNING last, since;

-- name: pulse
SELECT last, since, clock() AS now FROM pulse;

-- name: list_stale
SELECT h.id AS host, h.name, b.last_seen, b.online
FROM host_heartbeats b JOIN hosts h ON h.id = b.host
WHERE b.last_seen < clock() - $1::interval
ORDER BY b.host;

-- name: mark_offline
-- Judges only what could have been heard; the rows are locked with the condition, so a host that has just beaten is not marked.
-- More than half of at least four wait until the first of them has been silent for two thresholds. Who fall silent at one moment were
-- last heard at different ones, so whoever is nearly due counts too: of a threshold of 10 s, who has missed two beats.
-- The first $3 are marked; for the next ones $4 says how all were judged. By keys, not by a join: the planner takes a third of all hosts for silent.
WITH ear AS (
    SELECT FROM pulse WHERE last > clock() - interval '3 seconds' AND since < clock() - ($1::interval + $2::interval)
), silent AS MATERIALIZED (
    SELECT host, last_seen FROM host_heartbeats
    WHERE online AND last_seen < clock() - 0.7 * $1::interval AND EXISTS (SELECT FROM ear)
), counted AS MATERIALIZED (
    -- Whether the silent are more than half: nobody need count further than to twice their number.
    SELECT count(*) AS silent, coalesce(min(last_seen) < clock() - 2 * $1::interval, false) AS waited,
           (SELECT count(*) FROM (SELECT FROM host_heartbeats WHERE online
                                   LIMIT (SELECT greatest(4, 2 * count(*)) FROM silent)) AS few) AS online
    FROM silent
), judged AS (
    SELECT coalesce($4::boolean, online >= 4 AND silent * 2 > online) AS mass, waited OR $4::boolean IS NOT NULL AS waited FROM counted
), due AS (
    SELECT host FROM host_heartbeats
    WHERE host = ANY (ARRAY(SELECT host FROM silent WHERE last_seen < clock() - $1::interval AND (SELECT NOT mass OR waited FROM judged)
                            ORDER BY host LIMIT $3::bigint))
      AND online AND last_seen < clock() - $1::interval
    ORDER BY host FOR UPDATE SKIP LOCKED
), marked AS (
    UPDATE host_heartbeats b SET online = false, returned_at = NULL
    FROM judged j WHERE b.host = ANY (ARRAY(SELECT host FROM due))
    RETURNING b.host, b.last_seen, j.mass
), numbered AS (
    UPDATE hosts h SET history_number = h.history_number + 1
    WHERE h.id = ANY (ARRAY(SELECT host FROM marked))
    RETURNING h.id, h.name, h.labels, h.agent_version, h.history_number
), told AS (
    INSERT INTO host_history (host, number, from_status, to_status, at, recorded_at, cause)
    SELECT id, history_number, 'online', 'stale', clock(), clock(), 'silent' FROM numbered
)
SELECT n.id AS host, n.name, n.labels, n.agent_version, n.history_number AS number, m.last_seen, m.mass
FROM numbered n JOIN marked m ON m.host = n.id ORDER BY n.id;

-- name: add_history
WITH said AS (
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::uuid[]) WITH ORDINALITY
         AS u (host, from_status, to_status, at, cause, event_id, place)
), counted AS (
    SELECT host, count(*) AS many FROM said GROUP BY host
), numbered AS (
    UPDATE hosts h SET history_number = h.history_number + c.many FROM counted c WHERE h.id = c.host
    RETURNING h.id, h.history_number - c.many AS before
), added AS (
    INSERT INTO host_history (host, number, from_status, to_status, at, recorded_at, cause, event_id)
    SELECT s.host, n.before + row_number() OVER (PARTITION BY s.host ORDER BY s.place), s.from_status, s.to_status, s.at, clock(),
           s.cause, s.event_id
    FROM said s JOIN numbered n ON n.id = s.host
)
SELECT n.before + row_number() OVER (PARTITION BY s.host ORDER BY s.place) AS number
FROM said s JOIN numbered n ON n.id = s.host ORDER BY s.place;

-- name: asked
UPDATE host_heartbeats SET asked_at = clock() WHERE host = ANY ($1::bigint[]);

-- name: set_agent_versions
UPDATE hosts h SET agent_version = u.version FROM unnest($1::bigint[], $2::text[]) AS u (host, version)
WHERE h.id = u.host AND h.agent_version IS DISTINCT FROM u.version;
