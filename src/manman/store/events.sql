-- name: relay
-- One turn of the relay's leader ($1, $2: the lease and who holds it; none: nobody is asked). Under the counter's lock the oldest rows
-- of the outbox that are no commands ($4 at most) become events: positions are in commit order and without a gap, because nobody else
-- gives any. What is published ($3) is written, and what follows it is answered: rows without an exchange are only passed over.
-- More than there is cannot be published: it was said of another database. Beside its own locks a statement that waited reads the past:
-- where counter or epoch is not what was read, nothing is done.
WITH leads AS MATERIALIZED (
    SELECT FROM leases WHERE name = $1 AND holder = $2 AND until > clock() FOR KEY SHARE
), counter AS MATERIALIZED (
    SELECT value FROM counters WHERE name = 'events' AND ($1::text IS NULL OR EXISTS (SELECT FROM leads)) FOR UPDATE
), fresh AS MATERIALIZED (
    SELECT c.value, s.epoch FROM (SELECT epoch FROM installation FOR SHARE) i JOIN installation s ON s.epoch = i.epoch,
           counter c WHERE c.value = (SELECT value FROM counters WHERE name = 'events')
), told AS (
    SELECT $3::bigint AS published FROM fresh WHERE $3::bigint <= value
), gone AS (
    DELETE FROM outbox WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM outbox WHERE exchange IS DISTINCT FROM 'manman' AND EXISTS (SELECT FROM fresh) ORDER BY id LIMIT $4
    ))
    RETURNING *
), moved AS (
    INSERT INTO events (epoch, position, id, type, at, exchange, key, body, headers, host, session, deployment, sequence, public)
    SELECT f.epoch, f.value + row_number() OVER (ORDER BY g.id), g.event_id, g.type, g.created_at, g.exchange, g.key, g.body,
           g.headers, g.host, g.session, g.deployment, g.sequence, g.public
    FROM gone g, fresh f
    ORDER BY g.id
    RETURNING *
), counted AS (
    UPDATE counters SET value = value + (SELECT count(*) FROM moved) WHERE name = 'events' AND EXISTS (SELECT FROM moved)
    RETURNING value
), passed AS (
    UPDATE counters c SET value = t.published FROM told t WHERE c.name = 'published' AND c.value < t.published
), older AS MATERIALIZED (
    SELECT * FROM events
    WHERE epoch = (SELECT epoch FROM installation) AND EXISTS (SELECT FROM fresh)
      AND position > (SELECT greatest(value, (SELECT published FROM told)) FROM counters WHERE name = 'published')
    ORDER BY position LIMIT $4
), due AS (
    SELECT * FROM older UNION ALL SELECT * FROM moved WHERE (SELECT count(*) FROM older) < $4
)
SELECT $1::text IS NULL OR EXISTS (SELECT FROM leads) AS leads, EXISTS (SELECT FROM fresh) AS fresh,
       (SELECT count(*) FROM moved) AS moved, (SELECT count(*) FROM due) AS due, (SELECT epoch FROM installation) AS epoch,
       (SELECT greatest(max(position), (SELECT published FROM told), (SELECT value FROM counters WHERE name = 'published')) FROM due) AS last,
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
