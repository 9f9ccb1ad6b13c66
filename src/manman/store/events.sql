-- name: lock_counter
SELECT value FROM counters WHERE name = 'events' FOR UPDATE;

-- name: move
-- Under the counter's lock: positions are in commit order and without a gap, because nobody else gives any.
WITH gone AS (
    DELETE FROM outbox WHERE id = ANY (ARRAY(
        SELECT id FROM outbox WHERE exchange IS DISTINCT FROM 'manman' ORDER BY id LIMIT $2
    ))
    RETURNING *
), numbered AS (
    SELECT gone.*, $1::bigint + row_number() OVER (ORDER BY id) AS position FROM gone
), moved AS (
    INSERT INTO events (epoch, position, id, type, at, exchange, key, body, headers, host, session, deployment, sequence, public)
    SELECT i.epoch, n.position, n.event_id, n.type, n.created_at, n.exchange, n.key, n.body, n.headers, n.host, n.session,
           n.deployment, n.sequence, n.public
    FROM numbered n, installation i
    ORDER BY n.position
    RETURNING position
), counted AS (
    UPDATE counters SET value = $1::bigint + (SELECT count(*) FROM moved) WHERE name = 'events' AND EXISTS (SELECT FROM moved)
    RETURNING value
)
SELECT (SELECT count(*) FROM moved) AS moved, pg_notify('manman_events', value::text) FROM counted;

-- name: unpublished
-- Above the last published position; rows without an exchange are only passed over.
SELECT e.epoch, e.position, e.id AS event_id, e.type, e.at, e.exchange, e.key, e.body::text, e.headers, e.host, e.session,
       e.deployment, e.sequence, e.public, NULL::interval AS ttl
FROM events e
WHERE e.epoch = (SELECT epoch FROM installation) AND e.position > (SELECT value FROM counters WHERE name = 'published')
ORDER BY e.position LIMIT $1;

-- name: advance
UPDATE counters SET value = greatest(value, $1) WHERE name = 'published' RETURNING value;

-- name: listed
-- As readers see them. Positions go on over epochs, so (epoch, position) is one order of all.
SELECT epoch, position, id, type, at, host AS host_id, session AS session_id, deployment AS deployment_id, public, body FROM events

-- name: bounds
SELECT i.epoch, c.value AS last, (SELECT e.position FROM events e WHERE e.epoch = i.epoch ORDER BY e.position LIMIT 1) AS first
  FROM installation i, counters c WHERE c.name = 'events'
