-- name: note
INSERT INTO attempts AS a (message, key, host, count, last_at) VALUES ($1, $2, $3, 1, clock())
ON CONFLICT (message) DO UPDATE SET count = a.count + 1, last_at = clock()
RETURNING count;

-- name: take_back
UPDATE attempts SET count = count - 1 WHERE message = ANY ($1::text[]) AND count > 0;

-- name: erase
DELETE FROM attempts WHERE message = ANY ($1::text[]);
