CREATE TABLE bus_queues (
    name text PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('quorum', 'classic', 'exclusive')),
    single_active_consumer boolean NOT NULL,
    ttl interval CHECK (ttl >= interval '0'),
    max_length bigint CHECK (max_length >= 0),
    max_bytes bigint CHECK (max_bytes >= 0),
    overflow text CHECK (overflow IN ('reject-publish', 'drop-head')),
    dead_letter_exchange text,
    auto_delete boolean NOT NULL,
    owner bigint CHECK ((kind = 'exclusive') = (owner IS NOT NULL)),
    dropped bigint NOT NULL DEFAULT 0
);
CREATE TABLE bus_bindings (
    id bigint GENERATED ALWAYS AS IDENTITY,
    queue text NOT NULL REFERENCES bus_queues ON DELETE CASCADE,
    exchange text NOT NULL,
    pattern text NOT NULL,
    PRIMARY KEY (queue, exchange, pattern)
);
CREATE TABLE bus_consumers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue text NOT NULL REFERENCES bus_queues ON DELETE CASCADE,
    owner bigint NOT NULL
);
CREATE INDEX bus_consumers_queue ON bus_consumers (queue, id);
CREATE TABLE bus_messages (
    queue text NOT NULL REFERENCES bus_queues ON DELETE CASCADE,
    id bigint GENERATED ALWAYS AS IDENTITY,
    exchange text NOT NULL,
    key text NOT NULL,
    headers jsonb NOT NULL,
    body bytea NOT NULL,
    message_id text,
    expires_at timestamptz,
    attempts int NOT NULL DEFAULT 0,
    taken_by bigint,
    PRIMARY KEY (queue, id)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE INDEX bus_messages_expires_at ON bus_messages (expires_at) WHERE expires_at IS NOT NULL;

-- What a consumer holds returns to its place, counted as an attempt, in the transaction that ends the consumer.
CREATE FUNCTION bus_leave(consumer bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE left_queue text;
BEGIN
    DELETE FROM bus_consumers WHERE id = consumer RETURNING queue INTO left_queue;
    IF left_queue IS NULL THEN RETURN; END IF;
    UPDATE bus_messages SET taken_by = NULL, attempts = attempts + 1 WHERE queue = left_queue AND taken_by = consumer;
    DELETE FROM bus_queues q WHERE q.name = left_queue AND q.auto_delete
        AND NOT EXISTS (SELECT FROM bus_consumers c WHERE c.queue = q.name);
    PERFORM pg_notify('manman_bus', left_queue);
END $$;

-- An owner is gone: its consumers leave, its exclusive queues go.
CREATE FUNCTION bus_forget(gone bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM bus_leave(id) FROM bus_consumers WHERE owner = gone ORDER BY id;
    DELETE FROM bus_queues WHERE owner = gone;
END $$;
