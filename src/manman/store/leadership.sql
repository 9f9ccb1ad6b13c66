-- name: take
-- Mine if it is free, over, or mine already; a new holder is a new term.
INSERT INTO leases AS l (name, kind, holder, acquired_at, until, facts)
VALUES ($1, $2, $3, clock(), clock() + $4::interval, $5)
ON CONFLICT (name) DO UPDATE
SET holder = excluded.holder, until = excluded.until, facts = excluded.facts,
    term = CASE WHEN l.holder = excluded.holder AND l.until > clock() THEN l.term ELSE l.term + 1 END,
    acquired_at = CASE WHEN l.holder = excluded.holder AND l.until > clock() THEN l.acquired_at ELSE clock() END
WHERE l.holder = excluded.holder OR l.until <= clock()
RETURNING term;

-- name: is_mine
-- Locked for the transaction: whoever wants to take it over waits for this commit.
SELECT EXISTS (SELECT FROM leases WHERE name = $1 AND holder = $2 AND until > clock() FOR SHARE);

-- name: release
DELETE FROM leases WHERE name = $1 AND holder = $2;

-- name: holder
SELECT holder FROM leases WHERE name = $1 AND until > clock();

-- name: replicas
SELECT holder, facts, acquired_at FROM leases WHERE kind = 'replica' AND name LIKE $1 AND until > clock() ORDER BY holder;

-- name: forget_replicas
DELETE FROM leases WHERE kind = 'replica' AND until < clock() - interval '1 minute';
