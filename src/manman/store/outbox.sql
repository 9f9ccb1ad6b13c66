-- name: insert
-- In the order given; the table's trigger wakes the relay at the commit. Where the relay's leader inserts ($3, $4: the lease and who holds
-- it; none: somebody else), nobody numbers events now and none waits for its number, what is no command becomes events at once, as the
-- relay's turn would make it. Positions are in commit order, because the counter is kept until the commit; a session's events are in
-- theirs, because what was said of it before is visible to whoever holds its row. An epoch begins before or after, not beside it: it
-- carries over what is not published. What is published ($5) is written too, unless it is more than there is.
WITH leads AS MATERIALIZED (
    SELECT FROM leases WHERE name = $3 AND holder = $4 AND until > clock() FOR KEY SHARE
), counter AS MATERIALIZED (
    SELECT value FROM counters
    WHERE name = 'events' AND EXISTS (SELECT FROM leads) AND NOT EXISTS (SELECT FROM outbox WHERE exchange IS DISTINCT FROM 'manman')
    FOR UPDATE SKIP LOCKED
), given AS MATERIALIZED (
    SELECT u.event_id, u.type, u.exchange, coalesce(u.key, u.type) AS key, u.body::json AS body, coalesce(u.headers, '{}') AS headers,
           u.host, u.session, u.deployment, u.sequence, coalesce(u.public, false) AS public, u.ttl, u.place,
           u.exchange IS DISTINCT FROM 'manman' AND EXISTS (SELECT FROM counter) AS at_once
    FROM ROWS FROM (json_to_recordset($1::text::json)
                    AS (event_id uuid, type text, exchange text, key text, headers json, host bigint, session bigint,
                        deployment bigint, sequence bigint, public boolean, ttl interval), unnest($2::text[]))
         WITH ORDINALITY AS u (event_id, type, exchange, key, headers, host, session, deployment, sequence, public, ttl, body, place)
), numbered AS (
    INSERT INTO events (epoch, position, id, type, at, exchange, key, body, headers, host, session, deployment, sequence, public)
    SELECT i.epoch, c.value + row_number() OVER (ORDER BY g.place), g.event_id, g.type, clock(), g.exchange, g.key, g.body, g.headers,
           g.host, g.session, g.deployment, g.sequence, g.public
    FROM given g, counter c, (SELECT epoch FROM installation FOR SHARE) i
    WHERE g.at_once
    ORDER BY g.place
    RETURNING epoch, position, at
), counted AS (
    UPDATE counters
    SET value = CASE WHEN name = 'events' THEN value + (SELECT count(*) FROM numbered)
                     WHEN $5::bigint <= (SELECT value FROM counter) THEN greatest(value, $5::bigint)
                     ELSE value END
    WHERE name IN ('events', 'published') AND EXISTS (SELECT FROM numbered)
), waiting AS (
    INSERT INTO outbox (event_id, type, exchange, key, body, headers, host, session, deployment, sequence, public, ttl, created_at)
    SELECT g.event_id, g.type, g.exchange, g.key, g.body, g.headers, g.host, g.session, g.deployment, g.sequence, g.public, g.ttl,
           clock()
    FROM given g
    WHERE NOT g.at_once
    ORDER BY g.place
)
SELECT min(epoch) AS epoch, min(position) AS first, min(at) AS at,
       CASE WHEN count(*) > 0 THEN pg_notify('manman_events', max(position)::text) END
FROM numbered

-- name: commands
-- Oldest first, of hosts that are not in the second list; what is left of a TTL is counted by this clock.
SELECT id, event_id, type, exchange, key, body::text, headers, host, session, deployment, sequence, public, ttl,
       created_at + ttl - clock() AS left
FROM outbox
WHERE exchange = 'manman' AND NOT (coalesce(host, 0) = ANY ($2::bigint[]))
ORDER BY id LIMIT $1;

-- name: remove
DELETE FROM outbox WHERE exchange = 'manman' AND id = ANY ($1::bigint[]);

-- name: waiting
-- Beside what has no number yet, the events that have one and are not published.
SELECT count(*) FILTER (WHERE o.exchange = 'manman') AS commands,
       count(*) FILTER (WHERE o.id IS NOT NULL AND o.exchange IS DISTINCT FROM 'manman') + min(n.behind) AS events,
       coalesce(extract(epoch FROM clock() - least(min(o.created_at), min(n.since))), 0)::float8 AS oldest
FROM (
    SELECT greatest(e.value - p.value, 0) AS behind,
           (SELECT v.at FROM events v WHERE v.epoch = i.epoch AND v.position > p.value ORDER BY v.position LIMIT 1) AS since
    FROM installation i, counters e, counters p
    WHERE e.name = 'events' AND p.name = 'published'
) n LEFT JOIN outbox o ON true;
