-- name: grant
-- Tops the set up to its size (50, or 4 for each deployment if that is more, or what the caller asks) with ids nobody had.
WITH wanted AS (
    SELECT l.host, l.ids,
           greatest(50, $2::integer, 4 * (SELECT count(*) FROM deployments d WHERE d.host = l.host)) -
           coalesce((SELECT sum(upper(r) - lower(r)) FROM unnest(l.ids) AS r), 0) AS missing
    FROM session_leases l WHERE l.host = $1 FOR UPDATE
), fresh AS (
    SELECT range_agg(int8range(id, id, '[]')) AS ids
    FROM (SELECT nextval(pg_get_serial_sequence('sessions', 'id')) AS id FROM wanted, generate_series(1, missing)) AS made
)
UPDATE session_leases l SET ids = l.ids + coalesce(f.ids, '{}') FROM fresh f WHERE l.host = $1
RETURNING l.ids;

-- name: use
-- An id leaves the set in the transaction that inserts its session; a second use finds no row.
UPDATE session_leases SET ids = ids - int8multirange(int8range($2, $2, '[]')) WHERE host = $1 AND ids @> $2::bigint
RETURNING host;

-- name: set
UPDATE session_leases l SET ids = u.ids FROM json_to_recordset($1::text::json) AS u (host bigint, ids int8multirange)
 WHERE l.host = u.host

-- name: skip_to
-- Far enough beyond it that what others take meanwhile lies beyond it too.
SELECT setval(pg_get_serial_sequence('sessions', 'id'),
              greatest(nextval(pg_get_serial_sequence('sessions', 'id')), $1::bigint) + 10000)
 WHERE coalesce(pg_sequence_last_value(pg_get_serial_sequence('sessions', 'id')), 0) < $1::bigint
