-- name: lock
SELECT id, key, headers, body, reason, host, session, replayed_at, clock() AS now FROM dead_letters WHERE id = $1 FOR UPDATE

-- name: replay
UPDATE dead_letters SET replay_id = $2 WHERE id = $1

-- name: drop
DELETE FROM dead_letters WHERE id = $1 RETURNING id
