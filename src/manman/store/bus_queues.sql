-- name: declaring
-- One declaration at a time: two replicas that start together make a queue once.
SELECT pg_advisory_xact_lock(hashtext('manman.bus.declare'));

-- name: forget_dead_owner
SELECT bus_forget(owner) FROM bus_queues
WHERE name = $1 AND owner IS NOT NULL AND owner <> $2 AND pg_try_advisory_xact_lock(owner);

-- name: add_queue
INSERT INTO bus_queues (name, kind, single_active_consumer, ttl, max_length, max_bytes, overflow, dead_letter_exchange, auto_delete, owner)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (name) DO NOTHING;

-- name: get_queue
SELECT name, kind, single_active_consumer, ttl, max_length, max_bytes, overflow, dead_letter_exchange, auto_delete, owner
FROM bus_queues WHERE name = $1;

-- name: add_binding
INSERT INTO bus_bindings (queue, exchange, pattern) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;

-- name: remove_binding
DELETE FROM bus_bindings WHERE queue = $1 AND exchange = $2 AND pattern = $3;

-- name: delete_queue
DELETE FROM bus_queues WHERE name = $1;

-- name: depth
SELECT count(m.id) FILTER (WHERE m.taken_by IS NULL AND (m.expires_at IS NULL OR m.expires_at > clock())) AS ready,
       count(m.id) FILTER (WHERE m.taken_by IS NOT NULL) AS unacked,
       q.dropped,
       q.owner,
       (SELECT count(*) FROM bus_consumers c WHERE c.queue = q.name) AS consumers
FROM bus_queues q LEFT JOIN bus_messages m ON m.queue = q.name
WHERE q.name = $1
GROUP BY q.name;
