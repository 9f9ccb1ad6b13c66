-- name: put
INSERT INTO secrets (deployment, name, value, set_at, set_by) VALUES ($1, $2, $3, clock(), $4)
ON CONFLICT (deployment, name) DO UPDATE
   SET value = excluded.value, version = secrets.version + 1, set_at = excluded.set_at, set_by = excluded.set_by
RETURNING version

-- name: of
SELECT name, value FROM secrets WHERE deployment = $1

-- name: drop
DELETE FROM secrets WHERE deployment = $1 AND NOT name = ANY ($2)

-- name: key_ids
SELECT DISTINCT split_part(value, '.', 2) AS key FROM secrets
