-- name: take
-- Mine if it is mine already, free, or over; a new holder is a new term. Renewing waits for no transaction of one's own, however long
-- it takes (`is_mine` holds the key only); taking over asks for the whole row, and does not wait: it is tried again each second.
WITH mine AS (
    UPDATE leases SET until = clock() + $4::interval, facts = $5
     WHERE name = $1 AND holder = $3 AND until > clock() RETURNING term
), over AS (
    SELECT name FROM leases WHERE name = $1 AND until <= clock() FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE leases l SET kind = $2, holder = $3, until = clock() + $4::interval, facts = $5, term = l.term + 1, acquired_at = clock()
      FROM over WHERE l.name = over.name RETURNING l.term
), made AS (
    INSERT INTO leases (name, kind, holder, acquired_at, until, facts)
    SELECT $1, $2, $3, clock(), clock() + $4::interval, $5 WHERE NOT EXISTS (SELECT FROM leases WHERE name = $1)
    ON CONFLICT DO NOTHING RETURNING term
)
SELECT term FROM mine UNION ALL SELECT term FROM taken UNION ALL SELECT term FROM made;

-- name: is_mine
-- Its key is locked for the transaction: whoever wants to take it over cannot before this commit; its holder can renew it meanwhile.
SELECT EXISTS (SELECT FROM leases WHERE name = $1 AND holder = $2 AND until > clock() FOR KEY SHARE);

-- name: release
-- Over from now on; a transaction of its holder that goes on still keeps others out until its end.
UPDATE leases SET until = clock() WHERE name = $1 AND holder = $2;

-- name: holder
SELECT holder FROM leases WHERE name = $1 AND until > clock();

-- name: replicas
SELECT holder, facts, acquired_at FROM leases WHERE kind = 'replica' AND name LIKE $1 AND until > clock() ORDER BY holder;

-- name: forget_replicas
DELETE FROM leases WHERE kind = 'replica' AND until < clock() - interval '1 minute';
