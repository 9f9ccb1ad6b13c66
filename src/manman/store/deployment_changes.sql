-- name: lock_host
SELECT h.id, h.name, h.addresses, h.port_first, h.port_last, h.draining FROM hosts h WHERE h.id = $1 FOR UPDATE

-- name: add
INSERT INTO deployments (name, host, config, config_revision, overrides, parameters, labels, restart, start_on_boot, status,
                         history_number, sent_at, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'installing', 1, clock(), clock(), clock())
ON CONFLICT (name) DO NOTHING
RETURNING id, host AS host_id, name, status, desired, desired_version, fresh_version, seen_version, last_run, history_number AS number,
          version, config, config_revision

-- name: named
SELECT id FROM deployments WHERE name = $1

-- name: add_history
INSERT INTO deployment_history (deployment, number, from_status, to_status, at, recorded_at, cause, trace_id)
VALUES ($1, $2, $3, $4, clock(), clock(), $5, $6)

-- name: holder
SELECT p.deployment, d.name AS deployment_name, p.name, host(p.address) AS address, masklen(p.address) AS mask
  FROM ports p JOIN deployments d ON d.id = p.deployment
 WHERE p.host = $1 AND p.protocol = $2 AND p.port = $3 AND p.address && $4::inet
 LIMIT 1

-- name: free
SELECT n AS port FROM generate_series($3::integer, $4::integer) n
 WHERE NOT EXISTS (SELECT FROM ports p WHERE p.host = $1 AND p.protocol = ANY ($2::text[]) AND p.port = n AND p.address && $5::inet)
   AND n <> ALL ($6::integer[])
 ORDER BY n LIMIT 1

-- name: hold
INSERT INTO ports (deployment, name, host, address, port, protocol) VALUES ($1, $2, $3, $4::inet, $5, $6)

-- name: release
DELETE FROM ports WHERE deployment = $1 AND name = ANY ($2)

-- name: ports
SELECT name, protocol, host(address) AS address, masklen(address) AS mask, port FROM ports WHERE deployment = $1 ORDER BY name

-- name: placed
SELECT d.id, d.name, d.host, d.version, d.config, d.config_revision, d.parameters, d.overrides, d.restart, d.start_on_boot,
       d.status, r.spec
  FROM deployments d JOIN config_revisions r ON r.config = d.config AND r.revision = d.config_revision
 WHERE d.id = $1

-- name: set
UPDATE deployments
   SET name = $2, labels = $3, parameters = $4, overrides = $5, config_revision = $6, restart = $7, start_on_boot = $8,
       version = version + 1, updated_at = clock(), sent_at = clock()
 WHERE id = $1 AND NOT EXISTS (SELECT FROM deployments o WHERE o.name = $2 AND o.id <> $1) RETURNING version

-- name: set_status
UPDATE deployments
   SET status = $2, progress = NULL, detail = '', history_number = history_number + 1, version = version + 1,
       updated_at = clock(), sent_at = clock()
 WHERE id = $1 RETURNING history_number, version

-- name: session_parameters
SELECT parameters FROM sessions WHERE id = $1 AND deployment = $2

-- name: record_launch
INSERT INTO launches (digest, deployment, version, config, config_revision, parameters, files, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, clock()) ON CONFLICT (digest) DO NOTHING

-- name: revoke
INSERT INTO revocations (host, deployment, version, removed, sent_at, created_at) VALUES ($1, $2, $3, true, clock(), clock())
ON CONFLICT (host, deployment) DO UPDATE SET version = excluded.version, removed = true, sent_at = clock()

-- name: delete
DELETE FROM deployments WHERE id = $1

-- name: set_parameters
UPDATE deployments SET parameters = $2 WHERE id = $1
