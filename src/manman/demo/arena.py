"""The rules of the arena: who is where, who hits whom, what everybody hears. No I/O; chance is an argument."""

import re
from collections.abc import Callable
from typing import NamedTuple

HEALTH = 10
MOST = 16
NAME = re.compile(r"[A-Za-z0-9_-]{1,16}")
START = "gate"
ROOMS = {
    "gate": ("Torches hiss beside an iron gate. The roar of the arena comes from the north.", {"north": "sand"}),
    "sand": (
        "White sand, dark stains, ten thousand empty seats. A bridge leads east, the gate is south.",
        {"south": "gate", "east": "bridge"},
    ),
    "bridge": (
        "A rope bridge over nothing at all. The sand is west, a ladder goes up.",
        {"west": "sand", "up": "tower"},
    ),
    "tower": ("From here you see everything and hit nobody below. A ladder goes down.", {"down": "bridge"}),
}
SHORT = {"n": "north", "s": "south", "e": "east", "w": "west", "u": "up", "d": "down"}
HELP = "look · go DIRECTION (or n s e w u d) · say TEXT · hit NAME · rest · who · help · quit"

Dice = Callable[[int, int], int]


class Heard(NamedTuple):
    """A text and who reads it: player names; the game's own console sees it when `told`."""

    to: tuple[str, ...]
    text: str
    told: bool = False


class Player:
    """Somebody in the arena."""

    def __init__(self, name: str, since: float) -> None:
        self.name, self.since = name, since
        self.room, self.health = START, HEALTH


class Arena:
    """All players and their scores. Each act gives what is heard because of it, in order."""

    def __init__(self, dice: Dice, scores: dict[str, int] | None = None) -> None:
        self.players: dict[str, Player] = {}
        self.scores: dict[str, int] = dict(scores or {})
        self._dice = dice

    def refusal(self, name: str) -> str | None:
        """Why nobody may join under this name now; None if somebody may."""
        if not NAME.fullmatch(name):
            return "A name is 1 to 16 letters, digits, - or _."
        if self._find(name) is not None:
            return f"{name} is here already; take another name."
        if len(self.players) >= MOST:
            return "The arena is full."
        return None

    def join(self, name: str, now: float) -> list[Heard]:
        """Somebody comes in."""
        player = Player(name, now)
        self.players[name] = player
        self.scores.setdefault(name, 0)
        return [
            Heard(self._others(name), f"{name} joined the arena.", told=True),
            Heard((name,), f"Welcome, {name}. {HELP}"),
            *self._look(player),
        ]

    def leave(self, name: str) -> list[Heard]:
        """Somebody is gone."""
        del self.players[name]
        return [Heard(tuple(self.players), f"{name} left the arena.", told=True)]

    def act(self, name: str, line: str) -> list[Heard]:
        """What a player typed (`quit` is not the rules' business)."""
        player = self.players[name]
        word, _, rest = line.strip().partition(" ")
        word, rest = word.lower(), rest.strip()
        if word in SHORT or word in SHORT.values():
            word, rest = "go", word
        acts: dict[str, Callable[[], list[Heard]]] = {
            "": list,
            "look": lambda: self._look(player),
            "go": lambda: self._go(player, SHORT.get(rest, rest)),
            "say": lambda: [Heard(tuple(self.players), f"{name}: {rest}", told=True)] if rest else [],
            "hit": lambda: self._hit(player, rest),
            "rest": lambda: self._rest(player),
            "who": lambda: [Heard((name,), self.board())],
        }
        return acts.get(word, lambda: [Heard((name,), HELP)])()

    def board(self) -> str:
        """Who is here, one line."""
        shown = ", ".join(
            f"{each.name} in the {each.room} ({each.health}/{HEALTH}, {self.scores[each.name]} won)"
            for each in self.players.values()
        )
        return f"{len(self.players)} of {MOST}: {shown}" if shown else "Nobody is here."

    def announce(self, text: str) -> list[Heard]:
        """The console speaks to everybody."""
        return [Heard(tuple(self.players), f"*** {text}", told=True)]

    def _find(self, name: str) -> Player | None:
        return next((each for key, each in self.players.items() if key.lower() == name.lower()), None)

    def _others(self, name: str) -> tuple[str, ...]:
        return tuple(each for each in self.players if each != name)

    def _beside(self, player: Player) -> tuple[str, ...]:
        return tuple(each.name for each in self.players.values() if each.room == player.room and each is not player)

    def _look(self, player: Player) -> list[Heard]:
        text, ways = ROOMS[player.room]
        beside = ", ".join(self._beside(player)) or "nobody else"
        return [Heard((player.name,), f"[{player.room}] {text} Ways: {', '.join(ways)}. Here: {beside}.")]

    def _go(self, player: Player, way: str) -> list[Heard]:
        target = ROOMS[player.room][1].get(way)
        if target is None:
            return [Heard((player.name,), "There is no way there.")]
        left = Heard(self._beside(player), f"{player.name} goes {way}.")
        player.room = target
        came = Heard(self._beside(player), f"{player.name} comes in.", told=False)
        return [left, came, *self._look(player)]

    def _hit(self, player: Player, whom: str) -> list[Heard]:
        other = self._find(whom)
        if other is None or other.room != player.room or other is player:
            return [Heard((player.name,), f"There is no {whom or 'such one'} to hit here.")]
        if player.room == START:
            return [Heard((player.name,), "Not at the gate: it is for newcomers. Go north.")]
        hurt = self._dice(0, 4)
        here = (player.name, *self._beside(player))
        if hurt == 0:
            return [Heard(here, f"{player.name} misses {other.name}.", told=True)]
        other.health -= hurt
        if other.health > 0:
            return [Heard(here, f"{player.name} hits {other.name} for {hurt} ({other.health} left).", told=True)]
        self.scores[player.name] += 1
        other.room, other.health = START, HEALTH
        fell = Heard(
            tuple(self.players), f"{other.name} falls to {player.name}, who has won {self.scores[player.name]}.", True
        )
        return [fell, *self._look(other)]

    def _rest(self, player: Player) -> list[Heard]:
        player.health = min(HEALTH, player.health + 1)
        return [Heard((player.name,), f"You catch your breath: {player.health} of {HEALTH}.")]
