"""Which seeds every run tries, and what was learned from those that failed once."""

SEEDS = range(1, 51)

# Seed → what it found. They stay in `SEEDS` or are tried beside it.
LEARNED = {
    4: "a session that ended in the batch which brought its host back was announced as reachable, after its end",
    5: "the same with a session that crashed",
    12: "a stop of a session that its host had begun and the database did not know yet was a dead letter",
    23: "a report that newer messages had overtaken condemned a session, and its game was ended",
    16: "the same with a session that was pending",
}
