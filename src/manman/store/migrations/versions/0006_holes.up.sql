-- Of a healthy host it holds nothing, and what moves a journal's mark leaves it alone: rows are updated in place as before.
CREATE INDEX host_journals_holes ON host_journals (hole_since, host) WHERE hole_since IS NOT NULL;

-- A release from before 0004 starts sessions with ON CONFLICT (deployment) WHERE status IN (…), which needs an index of just these
-- words. A database that is in use may still be served by one, so it keeps that index until the next release drops it; it costs each
-- event an update of all indexes. A new database has no such past.
DO $$ BEGIN
    IF EXISTS (SELECT FROM sessions) THEN
        CREATE UNIQUE INDEX sessions_one_live_before ON sessions (deployment) WHERE status IN ('pending', 'starting', 'running', 'stopping');
    END IF;
END $$;
