-- name: relay
-- One turn of the relay's leader ($1, $2: the lease and who holds it; none: nobody is asked). Under the counter's lock the oldest rows
-- of the outbox that are no commands ($4 at most) become events: positions are in commit order and without a gap, because nobody else
-- gives any. What is published ($3) is written, and what follows it is answered: rows without an exchange are only passed over.
-- Beside its own locks a statement that waited reads the past: where the counter is not what was read, nothing is done.
WITH leads AS MATERIALIZED (
    SELECT FROM leases WHERE name = $1 AND holder = $2 AND until > clock() FOR KEY SHARE
), counter AS MATERIALIZED (
    SELECT value FROM counters WHERE name = 'events' AND ($1::text IS NULL OR EXISTS (SELECT FROM leads)) FOR UPDATE
), fresh AS MATERIALIZED (
    SELECT c.value FROM counter c WHERE c.value = (SELECT value FROM counters WHERE name = 'events')
), gone AS (
    DELETE FROM outbox WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM outbox WHERE exchange IS DISTINCT FROM 'manman' AND EXISTS (SELECT FROM fresh) ORDER BY id LIMIT $4
    ))
    RETURNING *
), moved AS (
    INSERT INTO events (epoch, position, id, type, at, exchange, key, body, headers, host, session, deployment, sequence, public)
    SELECT i.epoch, f.value + row_number() OVER (ORDER BY g.id), g.event_id, g.type, g.created_at, g.exchange, g.key, g.body,
           g.headers, g.host, g.session, g.deployment, g.sequence, g.public
    FROM gone g, fresh f, installation i
    ORDER BY g.id
    RETURNING *
), counted AS (
    UPDATE counters SET value = value + (SELECT count(*) FROM moved) WHERE name = 'events' AND EXISTS (SELECT FROM moved)
    RETURNING value
), passed AS (
    UPDATE counters SET value = $3::bigint WHERE name = 'published' AND value < $3::bigint AND EXISTS (SELECT FROM fresh)
), older AS MATERIALIZED (
    SELECT * FROM events
    WHERE epoch = (SELECT epoch FROM installation) AND EXISTS (SELECT FROM fresh)
      AND position > (SELECT greatest(value, $3::bigint) FROM counters WHERE name = 'published')
    ORDER BY position LIMIT $4
), due AS (
    SELECT * FROM older UNION ALL SELECT * FROM moved WHERE (SELECT count(*) FROM older) < $4
)
SELECT $1::text IS NULL OR EXISTS (SELECT FROM leads) AS leads, EXISTS (SELECT FROM fresh) AS fresh,
       (SELECT count(*) FROM moved) AS moved, (SELECT count(*) FROM due) AS due, (SELECT epoch FROM installation) AS epoch,
       (SELECT greatest(max(position), $3::bigint, (SELECT value FROM counters WHERE name = 'published')) FROM due) AS last,
       (SELECT json_agg(json_build_array(d.epoch, d.position, d.at, d.id, d.type, d.exchange, d.key, d.body, d.headers, d.host,
                                         d.session, d.deployment, d.sequence, d.public) ORDER BY d.position)
          FROM due d WHERE d.exchange IS NOT NULL)::text AS public,
       (SELECT pg_notify('manman_events', value::text) FROM counted)

-- name: listed
-- As readers see them. Positions go on over epochs, so (epoch, position) is one order of all.
SELECT epoch, position, id, type, at, host AS host_id, session AS session_id, deployment AS deployment_id, public, body FROM events

-- name: bounds
SELECT i.epoch, c.value AS last, (SELECT e.position FROM events e WHERE e.epoch = i.epoch ORDER BY e.position LIMIT 1) AS first
  FROM installation i, counters c WHERE c.name = 'events'
