-- name: begin
INSERT INTO idempotency (caller, key, method, request, created_at) VALUES ($1, $2, $3, $4, clock())
ON CONFLICT (caller, key) DO NOTHING RETURNING true

-- name: earlier
SELECT method, request, status, reply FROM idempotency WHERE caller = $1 AND key = $2

-- name: finish
UPDATE idempotency SET status = $3, reply = $4 WHERE caller = $1 AND key = $2

-- name: request_key
SELECT request_key FROM installation

-- name: audit_month
SELECT audit_month(clock())

-- name: audit
INSERT INTO audit (at, caller, credential, address, method, noun, noun_id, deployment, changes, trace_id)
VALUES (clock(), $1, $2, $3, $4, $5, $6, $7, $8, $9)
