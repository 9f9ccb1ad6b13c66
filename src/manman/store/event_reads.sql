-- name: listed
SELECT epoch, position, id, type, at, host AS host_id, session AS session_id, deployment AS deployment_id, public, body FROM events

-- name: after
SELECT epoch, position, id, type, at, host AS host_id, session AS session_id, deployment AS deployment_id, public, body
  FROM events WHERE epoch = $1 AND position > $2 ORDER BY position LIMIT $3

-- name: bounds
SELECT i.epoch, c.value AS last, (SELECT e.position FROM events e WHERE e.epoch = i.epoch ORDER BY e.position LIMIT 1) AS first
  FROM installation i, counters c WHERE c.name = 'events'
