-- name: insert_session_history
INSERT INTO session_history (session, number, from_status, to_status, at, recorded_at, cause, event_id, trace_id)
SELECT x.session, x.number, x.from_status, x.to_status, x.at, clock(), x.cause, x.event_id, x.trace_id
  FROM json_to_recordset($1::text::json)
       AS x (session bigint, number bigint, from_status text, to_status text, at timestamptz, cause text, event_id uuid, trace_id text)

-- name: insert_crash_reports
INSERT INTO crash_reports (session, tail, created_at)
SELECT x.session, x.tail, clock()
  FROM json_to_recordset($1::text::json) AS x (session bigint, tail text[])
ON CONFLICT (session) DO NOTHING

-- name: update_deployments
UPDATE deployments d
   SET status = x.status, desired = x.desired, desired_version = x.desired_version, fresh_version = x.fresh_version,
       seen_version = x.seen_version, seen_deployment_version = x.seen_deployment_version, last_run = x.last_run,
       last_session = x.last_session, gave_up = x.gave_up, gave_up_version = x.gave_up_version, progress = x.progress,
       detail = x.detail, history_number = x.number,
       -- A new wish is said with it: the sweep that repeats what was not seen counts from here.
       sent_at = CASE WHEN x.desired_version > d.desired_version THEN clock() ELSE d.sent_at END,
       updated_at = CASE WHEN x.desired_version > d.desired_version THEN clock() ELSE d.updated_at END
  FROM json_to_recordset($1::text::json)
       AS x (id bigint, status text, desired text, desired_version bigint, fresh_version bigint, seen_version bigint,
             seen_deployment_version bigint, last_run bigint, last_session bigint, gave_up text, gave_up_version bigint,
             progress real, detail text, number bigint)
 WHERE d.id = x.id

-- name: insert_deployment_history
INSERT INTO deployment_history (deployment, number, from_status, to_status, at, recorded_at, cause, event_id, trace_id)
SELECT x.deployment, x.number, x.from_status, x.to_status, clock(), clock(), x.cause, x.event_id, x.trace_id
  FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::uuid[], $7::text[])
       AS x (deployment, number, from_status, to_status, cause, event_id, trace_id)

-- name: delete_deployments
DELETE FROM deployments WHERE id = ANY($1::bigint[])

-- name: update_journals
UPDATE host_journals j
   SET seen = x.seen, last_used = clock(), hole_since = CASE WHEN x.whole THEN NULL ELSE coalesce(j.hole_since, clock()) END
  FROM json_to_recordset($1::text::json) AS x (host bigint, journal text, seen int8multirange, whole boolean)
 WHERE j.host = x.host AND j.journal = x.journal

-- name: insert_strays
INSERT INTO strays (host, session, deployment, why, seen_at)
SELECT x.host, x.session, x.deployment, x.why, clock()
  FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[]) AS x (host, session, deployment, why)
ON CONFLICT (host, session) DO UPDATE SET why = excluded.why, seen_at = excluded.seen_at

-- name: drop_strays
DELETE FROM strays WHERE host = $1 AND NOT session = ANY($2::bigint[])
