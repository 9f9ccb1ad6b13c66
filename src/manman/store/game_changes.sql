-- name: add_game
INSERT INTO games (name, title, description, labels, created_at, updated_at)
VALUES ($1, $2, $3, $4, clock(), clock()) ON CONFLICT (name) DO NOTHING RETURNING id

-- name: game_named
SELECT id FROM games WHERE name = $1

-- name: lock_game
SELECT version FROM games WHERE id = $1 FOR UPDATE

-- name: set_game
UPDATE games SET name = $2, title = $3, description = $4, labels = $5, version = version + 1, updated_at = clock()
 WHERE id = $1 AND NOT EXISTS (SELECT FROM games o WHERE o.name = $2 AND o.id <> $1) RETURNING id

-- name: uses_of_game
SELECT d.id, d.name FROM deployments d JOIN game_configs c ON c.id = d.config WHERE c.game = $1 ORDER BY d.id LIMIT 1

-- name: delete_game
DELETE FROM games WHERE id = $1

-- name: add_config
INSERT INTO game_configs (game, name, description, created_at, updated_at)
VALUES ($1, $2, $3, clock(), clock()) ON CONFLICT (game, name) DO NOTHING RETURNING id

-- name: config_named
SELECT id FROM game_configs WHERE game = $1 AND name = $2

-- name: lock_config
SELECT version, revision FROM game_configs WHERE id = $1 FOR UPDATE

-- name: set_config
UPDATE game_configs SET name = $2, description = $3, revision = $4, version = version + 1, updated_at = clock()
 WHERE id = $1 AND NOT EXISTS (SELECT FROM game_configs o WHERE o.game = game_configs.game AND o.name = $2 AND o.id <> $1)
RETURNING id

-- name: add_revision
INSERT INTO config_revisions (config, revision, spec, created_at, created_by) VALUES ($1, $2, $3, clock(), $4)

-- name: uses_of_config
SELECT d.id, d.name FROM deployments d WHERE d.config = $1 ORDER BY d.id LIMIT 1

-- name: delete_config
DELETE FROM game_configs WHERE id = $1

-- name: revision
SELECT r.spec, r.revision, c.name AS config, g.name AS game FROM config_revisions r
  JOIN game_configs c ON c.id = r.config JOIN games g ON g.id = c.game
 WHERE r.config = $1 AND r.revision = CASE WHEN $2 = 0 THEN c.revision ELSE $2 END
