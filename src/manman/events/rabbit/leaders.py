"""Quorum queues that the broker has no leader for, and how an operator gives them one.

A queue that is declared in the last second or so before a node is killed (`kill -9`, power) comes back without leader, for good:
Ra writes names of new queues to disk once none was made for half a second (`ra_directory`, `auto_save`), so that the node finds a
member it does not know, starts it as a new one, and waits for whoever declares to have one elected. Neither waiting nor a restart
changes that. What was confirmed in that second is gone. From a client's side such a queue is declared and counted at once, but
consuming from it and publishing to it are answered by nothing, and the channel does nothing else meanwhile. A consumer's connection
the broker closes after a minute. A publisher's waits for ever, and reads nothing more once 400 messages wait for one channel; what was
published arrives when there is a leader, also where channel and connection were closed meanwhile (3.10). AMQP has no word for an
election; deleting the queue would do, but a queue without majority looks the same, and its messages would be lost.
"""

from collections.abc import Sequence

from manman.events.bus import Outcome, QueueLeaderless, Unanswered

# Erlang, for `rabbitmqctl eval`: an election for each queue that has no leader; others are left alone.
ELECT = (
    "[{rabbit_misc:rs(amqqueue:get_name(Q)), ra:trigger_election(amqqueue:get_pid(Q))}"
    " || Q <- rabbit_amqqueue:list(), amqqueue:get_type(Q) =:= rabbit_quorum_queue,"
    " ra_leaderboard:lookup_leader(element(1, amqqueue:get_pid(Q))) =:= undefined]."
)
COMMAND = f"rabbitmqctl eval '{ELECT}'"
HINT = f"on the broker: {COMMAND}"


def leaderless(queue: str, seconds: float) -> QueueLeaderless:
    """What consuming ends with when a broker that is there answers nothing."""
    return QueueLeaderless(
        f"the broker has no leader for queue {queue!r}: it let {seconds:.0f} s pass without an answer",
        hint=HINT,
    )


def unanswered(outcomes: Sequence[Outcome | None], seconds: float) -> Unanswered:
    """What publishing ends with when a broker that is there confirms nothing more."""
    return Unanswered(f"the broker confirmed nothing for {seconds:.0f} s", outcomes, hint=HINT)
