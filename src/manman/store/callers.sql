-- name: login
SELECT l.id, u.id AS user_id, u.kind, u.name, u.role, r.permissions, l.expires_at, NULL::text[] AS only, clock() AS now,
       coalesce(l.last_used_at, l.created_at) < clock() - interval '1 minute' AS worn
  FROM logins l JOIN users u ON u.id = l.user_id LEFT JOIN roles r ON r.name = u.role
 WHERE l.hash = $1 AND l.kind = 'login' AND l.revoked_at IS NULL AND u.disabled_at IS NULL AND l.expires_at > clock()
   AND (l.idle IS NULL OR coalesce(l.last_used_at, l.created_at) + l.idle > clock())

-- name: api_key
SELECT k.id, u.id AS user_id, u.kind, u.name, u.role, r.permissions, k.expires_at, k.permissions AS only, clock() AS now,
       coalesce(k.last_used_at, k.created_at) < clock() - interval '1 minute' AS worn
  FROM api_keys k JOIN users u ON u.id = k.user_id LEFT JOIN roles r ON r.name = u.role
 WHERE k.hash = $1 AND k.revoked_at IS NULL AND u.disabled_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > clock())

-- name: host_key
SELECT k.id, h.id AS host_id, 'host' AS kind, h.name, clock() AS now,
       coalesce(k.last_used_at, k.created_at) < clock() - interval '1 minute' AS worn
  FROM host_keys k JOIN hosts h ON h.id = k.host
 WHERE k.hash = $1 AND k.revoked_at IS NULL

-- name: touch_login
UPDATE logins SET last_used_at = clock() WHERE id = $1

-- name: touch_api_key
UPDATE api_keys SET last_used_at = clock() WHERE id = $1

-- name: touch_host_key
UPDATE host_keys SET last_used_at = clock() WHERE id = $1

-- name: use_link
UPDATE logins SET used_at = clock()
 WHERE hash = $1 AND kind = 'link' AND used_at IS NULL AND revoked_at IS NULL AND expires_at > clock()
RETURNING user_id

-- name: add_login
INSERT INTO logins (user_id, kind, hash, created_at, expires_at, idle, address)
VALUES ($1, $2, $3, clock(), clock() + $4::interval, $5::interval, $6) RETURNING id, expires_at

-- name: user
SELECT u.id, u.kind, u.name, u.role FROM users u WHERE u.id = $1 AND u.disabled_at IS NULL

-- name: ensure_user
INSERT INTO users (kind, name, role, created_at, updated_at) VALUES ($1, $2, $3, clock(), clock())
ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id

-- name: end_login
UPDATE logins SET revoked_at = clock() WHERE id = $1 AND revoked_at IS NULL

-- name: revoke_keys
UPDATE api_keys SET revoked_at = clock() WHERE user_id = $1 AND name = $2 AND revoked_at IS NULL

-- name: add_key
INSERT INTO api_keys (user_id, name, hash, permissions, created_at, expires_at)
VALUES ($1, $2, $3, $4, clock(), clock() + $5::interval) RETURNING id

-- name: permissions_of
SELECT permissions FROM roles WHERE name = $1
