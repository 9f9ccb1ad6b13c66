-- name: wanted
SELECT partitions, generation FROM installation;

-- name: ask
-- Asking for what was asked for already changes nothing.
UPDATE installation SET partitions = $1, generation = generation + 1 WHERE partitions <> $1;

-- name: begun
SELECT generation AS number, partitions, ended, bound_at, unbound_at, marked_at, drained_at, closed_at
FROM partition_generations ORDER BY generation;

-- name: led_for
-- NULL where nobody led before.
SELECT clock() AS now, (SELECT epoch FROM installation) AS epoch, (SELECT CASE WHEN term > 1 THEN clock() - acquired_at END FROM leases WHERE name = $1) AS led_for;

-- name: begin
INSERT INTO partition_generations (generation, partitions, ended)
VALUES ($1, $2, array_fill(0, ARRAY[$2::integer])) ON CONFLICT DO NOTHING;

-- name: bind
UPDATE partition_generations SET bound_at = clock() WHERE generation = $1 AND bound_at IS NULL;

-- name: unbind
UPDATE partition_generations SET unbound_at = clock() WHERE generation = $1 AND unbound_at IS NULL;

-- name: mark
UPDATE partition_generations SET marked_at = clock() WHERE generation = $1;

-- name: note_drained
-- The second marks are due at once when their time comes.
UPDATE partition_generations SET drained_at = clock(), marked_at = NULL WHERE generation = $1 AND drained_at IS NULL;

-- name: close
UPDATE partition_generations SET closed_at = clock() WHERE generation = $1 AND closed_at IS NULL;

-- name: reopen
-- Something came later than it can: it is drained once more.
UPDATE partition_generations
SET closed_at = NULL, drained_at = NULL, marked_at = NULL, ended = array_fill(0, ARRAY[partitions])
WHERE generation = $1;

-- name: delete
DELETE FROM partition_generations WHERE generation = $1 AND closed_at IS NOT NULL;

-- name: end
-- A mark that comes again, or of a generation that is gone, changes nothing.
UPDATE partition_generations SET ended[$2::integer + 1] = $3::integer
WHERE generation = $1 AND $2::integer < partitions AND ended[$2::integer + 1] < $3::integer;

-- name: settled
-- Which of some numbers of journals are in the inbox.
SELECT x.host, x.journal, x.number
FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS x (host, journal, number)
JOIN host_journals j ON j.host = x.host AND j.journal = x.journal AND j.seen @> x.number
