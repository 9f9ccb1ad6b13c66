DROP INDEX IF EXISTS sessions_one_live_before;
DROP INDEX host_journals_holes;
