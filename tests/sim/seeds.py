"""Which seeds every run tries, and what was learned from those that failed once."""

SEEDS = range(1, 51)

# Seed → what it found. They stay in `SEEDS` or are tried beside it.
LEARNED = {
    4: "a session that ended in the batch which brought its host back was announced as reachable, after its end",
    5: "the same with a session that crashed",
}
