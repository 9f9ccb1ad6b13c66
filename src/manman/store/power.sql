-- name: deployment_of
SELECT deployment FROM sessions WHERE id = $1

-- name: standing
SELECT h.id AS host, h.name, h.draining, coalesce(b.online, false) AS online, b.last_seen, i.epoch, clock() AS now,
       coalesce(l.epoch < i.epoch AND b.boot > 0, false) AS unheard
  FROM hosts h LEFT JOIN host_heartbeats b ON b.host = h.id LEFT JOIN session_leases l ON l.host = h.id, installation i
 WHERE h.id = $1

-- name: next_session
SELECT nextval(pg_get_serial_sequence('sessions', 'id'))
