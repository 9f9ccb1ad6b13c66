-- name: insert
INSERT INTO dead_letters (key, headers, body, reason, detail, host, session, journal, sequence, event_id, at)
SELECT u.key, u.headers, u.body, u.reason, u.detail, u.host, u.session, u.journal, u.sequence, u.event_id, clock()
FROM unnest($1::text[], $2::jsonb[], $3::bytea[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::text[], $9::bigint[],
            $10::text[]) WITH ORDINALITY
     AS u (key, headers, body, reason, detail, host, session, journal, sequence, event_id, place)
ORDER BY u.place
RETURNING id;

-- name: lock
-- Those that nobody has dealt with, in key order: what else a replay needs is locked after them.
SELECT id, host FROM dead_letters WHERE id = ANY ($1::bigint[]) AND replayed_at IS NULL ORDER BY id FOR UPDATE;

-- name: close
-- Applied anew: closed. Refused anew: open again, with what was said this time.
UPDATE dead_letters d
SET replayed_at = CASE WHEN u.detail IS NULL THEN clock() ELSE d.replayed_at END,
    detail = coalesce(u.detail, d.detail), replay_id = NULL
FROM unnest($1::bigint[], $2::text[]) AS u (id, detail)
WHERE d.id = u.id AND d.replayed_at IS NULL
RETURNING d.id;

-- name: open
SELECT count(*) FROM dead_letters WHERE replayed_at IS NULL;
