-- name: routes
-- All bindings, when they are not those that the caller knows by their count and highest number.
SELECT b.id, b.queue, b.exchange, b.pattern, v.count
FROM (SELECT count(*) AS count, coalesce(max(id), 0) AS newest FROM bus_bindings) AS v
LEFT JOIN bus_bindings b ON true
WHERE (v.count, v.newest) IS DISTINCT FROM ($1::bigint, $2::bigint);

-- name: lock_queues
-- Held to the commit, so that numbers within a queue are in commit order: a reader above a number misses nothing.
SELECT name, ttl, max_length, max_bytes, overflow, dead_letter_exchange
FROM bus_queues WHERE name = ANY ($1::text[])
ORDER BY name
FOR NO KEY UPDATE;

-- name: room
-- What is ready now, counted no further than the bound.
SELECT count(*) AS messages, coalesce(sum(size), 0) AS bytes
FROM (
    SELECT octet_length(body) AS size FROM bus_messages
    WHERE queue = $1 AND taken_by IS NULL AND (expires_at IS NULL OR expires_at > clock())
    LIMIT $2
) AS ready;

-- name: insert
INSERT INTO bus_messages (queue, exchange, key, headers, body, message_id, expires_at)
SELECT m.queue, m.exchange, m.key, m.headers::jsonb, m.body, m.message_id, clock() + m.ttl
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::text[], $7::interval[])
    WITH ORDINALITY AS m (queue, exchange, key, headers, body, message_id, ttl, place)
ORDER BY m.place;

-- name: drop_head
-- Materialized: as a plain IN a join may run the subquery again, which then finds the next ones.
WITH head AS MATERIALIZED (
    SELECT id FROM bus_messages WHERE queue = $1 AND taken_by IS NULL ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED
)
DELETE FROM bus_messages m USING head
WHERE m.queue = $1 AND m.id = head.id
RETURNING m.exchange, m.key, m.headers, m.body, m.message_id, m.id;

-- name: head_sizes
SELECT octet_length(body) AS size FROM bus_messages WHERE queue = $1 AND taken_by IS NULL ORDER BY id LIMIT $2;

-- name: count_dropped
UPDATE bus_queues SET dropped = dropped + $2 WHERE name = $1;

-- name: wake
SELECT pg_notify('manman_bus', name) FROM unnest($1::text[]) AS name;

-- name: expired
-- Waiting longer than allowed: out, and to the dead letters of queues that have some.
WITH late AS MATERIALIZED (
    SELECT queue, id FROM bus_messages
    WHERE expires_at <= clock() AND taken_by IS NULL
    ORDER BY expires_at, id LIMIT 1000
    FOR UPDATE SKIP LOCKED
)
DELETE FROM bus_messages m USING late, bus_queues q
WHERE m.queue = late.queue AND m.id = late.id AND q.name = m.queue
RETURNING m.queue, m.exchange, m.key, m.headers, m.body, m.message_id, m.id, q.dead_letter_exchange;
