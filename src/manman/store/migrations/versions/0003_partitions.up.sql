-- A generation from its beginning until its queues are deleted; the numbers that are asked for stand in `installation`.
CREATE TABLE partition_generations (
    generation integer PRIMARY KEY CHECK (generation >= 0),
    partitions integer NOT NULL CHECK (partitions > 0),
    -- For each partition the last mark that was consumed at its end.
    ended      integer[] NOT NULL CHECK (cardinality(ended) = partitions),
    bound_at   timestamptz,
    unbound_at timestamptz CHECK (unbound_at IS NULL OR bound_at IS NOT NULL),
    marked_at  timestamptz CHECK (marked_at IS NULL OR unbound_at IS NOT NULL),
    drained_at timestamptz CHECK (drained_at IS NULL OR unbound_at IS NOT NULL),
    closed_at  timestamptz CHECK (closed_at IS NULL OR drained_at IS NOT NULL)
);
-- What there is already: one queue, bound by every processor so far.
INSERT INTO partition_generations (generation, partitions, ended, bound_at)
SELECT generation, partitions, array_fill(0, ARRAY[partitions]), clock() FROM installation;
