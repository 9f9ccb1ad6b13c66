-- name: enter
INSERT INTO bus_consumers (queue, owner)
SELECT name, $2 FROM bus_queues WHERE name = $1 AND (owner IS NULL OR owner = $2)
RETURNING id;

-- name: fetch
-- In order, above the low-water mark; one statement, so that being the active one and the messages are of one snapshot.
-- The lock on the consumer's own row makes whoever ends it wait, so that nothing is taken for one that is gone.
WITH me AS (
    SELECT id FROM bus_consumers WHERE id = $4 FOR SHARE
), taken AS (
    SELECT m.id FROM bus_messages m
    WHERE m.queue = $1 AND m.id > $2 AND m.taken_by IS NULL AND (m.expires_at IS NULL OR m.expires_at > clock())
      AND EXISTS (SELECT FROM me)
      AND NOT EXISTS (
          SELECT FROM bus_consumers c JOIN bus_queues q ON q.name = c.queue
          WHERE c.queue = $1 AND c.id < $4 AND q.single_active_consumer
      )
    ORDER BY m.id LIMIT $3
    FOR UPDATE OF m SKIP LOCKED
)
UPDATE bus_messages m SET taken_by = $4 FROM taken WHERE m.queue = $1 AND m.id = taken.id
RETURNING m.id, m.exchange, m.key, m.headers, m.body, m.message_id, m.attempts;

-- name: here
SELECT EXISTS (SELECT FROM bus_consumers WHERE id = $1);

-- name: settle
DELETE FROM bus_messages WHERE queue = $1 AND id = ANY ($2::bigint[]) AND taken_by = $3;

-- name: reject
DELETE FROM bus_messages m USING bus_queues q
WHERE q.name = m.queue AND m.queue = $1 AND m.id = $2 AND m.taken_by = $3
RETURNING m.exchange, m.key, m.headers, m.body, m.message_id, m.id, q.dead_letter_exchange;

-- name: leave
SELECT bus_leave($1::bigint);
