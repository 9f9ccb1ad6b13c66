DROP TABLE dead_letters, events, outbox;
DROP FUNCTION outbox_wake();
DROP TABLE crash_reports, session_history;
-- Live sessions go too: the whole house is torn down.
DROP TRIGGER sessions_live_stay ON sessions;
DROP TABLE sessions;
DROP FUNCTION refuse_live();
DROP TABLE deployment_history, launches, secrets, ports, deployments;
DROP TABLE host_history, join_tokens, host_keys, host_samples, revocations, strays, session_leases, host_journals, host_heartbeats, hosts;
DROP FUNCTION host_rows();
DROP TABLE config_revisions, game_configs, games;
DROP TABLE audit;
DROP FUNCTION audit_month(timestamptz);
DROP TABLE idempotency, logins, api_keys, users, roles;
DROP TABLE attempts, pulse, leases, counters, installation;
DROP FUNCTION refuse_change();
DROP FUNCTION clock();
