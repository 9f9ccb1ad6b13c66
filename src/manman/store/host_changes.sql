-- name: add
INSERT INTO hosts (name, labels, addresses, port_first, port_last, agent_version, isolation, capacity, broker_hash, created_at,
                   updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, clock(), clock())
ON CONFLICT (name) DO NOTHING RETURNING id

-- name: add_parts
WITH beats AS (INSERT INTO host_heartbeats (host) VALUES ($1) ON CONFLICT DO NOTHING)
INSERT INTO session_leases (host) VALUES ($1) ON CONFLICT DO NOTHING

-- name: lock
SELECT id, name, version, broker_hash FROM hosts WHERE id = $1 FOR UPDATE

-- name: rejoin
UPDATE hosts SET agent_version = $2, isolation = $3, capacity = $4, broker_hash = $5, updated_at = clock() WHERE id = $1

-- name: add_key
INSERT INTO host_keys (host, hash, join_token, created_at) VALUES ($1, $2, $3, clock())

-- name: key
SELECT host, join_token FROM host_keys WHERE hash = $1 AND revoked_at IS NULL

-- name: set
UPDATE hosts SET name = $2, labels = $3, addresses = $4, port_first = $5, port_last = $6, version = version + 1,
                 updated_at = clock()
 WHERE id = $1 AND NOT EXISTS (SELECT FROM hosts o WHERE o.name = $2 AND o.id <> $1) RETURNING version

-- name: set_draining
UPDATE hosts SET draining = $2, version = version + 1, updated_at = clock() WHERE id = $1 RETURNING version

-- name: use_of
SELECT id, name FROM deployments WHERE host = $1 ORDER BY id LIMIT 1

-- name: delete
-- What it was still to be told goes with its queue.
WITH untold AS (DELETE FROM outbox WHERE host = $1 AND exchange = 'manman')
DELETE FROM hosts WHERE id = $1

-- name: lock_token
SELECT id, uses, used, host, expires_at > clock() AND revoked_at IS NULL AS valid FROM join_tokens WHERE hash = $1 FOR UPDATE

-- name: count_token
UPDATE join_tokens SET used = used + 1 WHERE id = $1

-- name: add_token
INSERT INTO join_tokens (hash, uses, host, created_at, created_by, expires_at)
VALUES ($1, $2, $3, clock(), $4, clock() + $5::interval)
RETURNING id AS join_token_id, uses, used, host AS host_id, created_at, created_by, expires_at, false AS revoked

-- name: revoke_token
UPDATE join_tokens SET revoked_at = coalesce(revoked_at, clock()) WHERE id = $1 RETURNING id
