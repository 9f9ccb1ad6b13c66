-- name: hold
-- The bus's life: whoever can take this lock knows that its holder is gone.
SELECT pg_advisory_lock($1::bigint);

-- name: release_owned
-- At a regular end: consumers return what they hold, exclusive queues go.
SELECT bus_forget($1::bigint);

-- name: reap
-- Owners whose lock is free are gone: what they held returns, in one transaction with their consumers, so that nobody who
-- becomes active sees the one without the other.
SELECT bus_forget(owner) FROM (
    SELECT owner FROM bus_consumers WHERE owner <> $1
    UNION
    SELECT owner FROM bus_queues WHERE owner IS NOT NULL AND owner <> $1
) AS owners
WHERE pg_try_advisory_xact_lock(owner);
