-- name: insert
-- In the order given; the table's trigger wakes the relay at the commit.
INSERT INTO outbox (event_id, type, exchange, key, body, headers, host, session, deployment, sequence, public, ttl, created_at)
SELECT u.event_id, u.type, u.exchange, coalesce(u.key, u.type), u.body::json, coalesce(u.headers, '{}'), u.host, u.session,
       u.deployment, u.sequence, coalesce(u.public, false), u.ttl, clock()
FROM ROWS FROM (json_to_recordset($1::text::json)
                AS (event_id uuid, type text, exchange text, key text, headers json, host bigint, session bigint,
                    deployment bigint, sequence bigint, public boolean, ttl interval), unnest($2::text[]))
     WITH ORDINALITY AS u (event_id, type, exchange, key, headers, host, session, deployment, sequence, public, ttl, body, place)
ORDER BY u.place

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
SELECT count(*) FILTER (WHERE exchange = 'manman') AS commands,
       count(*) FILTER (WHERE exchange IS DISTINCT FROM 'manman') AS events,
       coalesce(extract(epoch FROM clock() - min(created_at)), 0)::float8 AS oldest
FROM outbox;
