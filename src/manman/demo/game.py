"""The loop between players, queries, console and signals; one process, one thread."""

import argparse
import json
import os
import random
import selectors
import signal
import socket
import sys
import time

from manman.demo.arena import MOST, Arena, Heard
from manman.demo.console import Console, misbehave
from manman.demo.guest import Guest
from manman.demo.query import Shown, reply

VERSION = "1.0"
_TRIES = 50


class Game:
    """The arena, open to players."""

    def __init__(self, bind: str, port: int, name: str, save_file: str | None) -> None:
        self._name, self._save_file = name, save_file
        self._secret = os.urandom(16)
        self._tcp, self._udp = _listen(bind, port)
        self.address: tuple[str, int] = self._tcp.getsockname()[:2]
        self.arena = Arena(random.randint, _scores(save_file))
        self.selector = selectors.DefaultSelector()
        self.stopping = False
        self._guests: set[Guest] = set()
        self.selector.register(self._tcp, selectors.EVENT_READ, self._accept)
        self.selector.register(self._udp, selectors.EVENT_READ, self._answer)

    def run(self) -> None:
        """Plays until it is stopped, then saves."""
        Console(self.selector, self.obey)
        tell(f"{self._name}: Ready on {self.address[0]}:{self.address[1]}")
        while not self.stopping:
            for key, mask in self.selector.select():
                key.data(mask)
        self.hear(self.arena.announce("The arena closes."))
        self.save()
        for guest in list(self._guests):
            guest.close()
        tell("Bye")

    def hear(self, heard: list[Heard]) -> None:
        """Delivers texts to players, and to our own output what it is told."""
        named = {guest.name: guest for guest in self._guests if guest.name}
        for each in heard:
            if each.told:
                tell(each.text)
            for name in each.to:
                if name in named:
                    named[name].write(each.text)

    def save(self) -> None:
        """Writes the scores: whole, or not at all."""
        if self._save_file is None:
            tell("Nothing saved: no --save-file was given")
            return
        beside = f"{self._save_file}.new"
        try:
            with open(beside, "w") as file:
                json.dump({"scores": self.arena.scores}, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, self._save_file)
        except OSError as error:
            tell(f"Not saved: {self._save_file}: {error.strerror}")
            return
        tell(f"Saved {len(self.arena.scores)} scores")

    def obey(self, line: str) -> None:
        """One console line."""
        word, _, rest = line.partition(" ")
        match word.lower():
            case "":
                return
            case "say":
                self.hear(self.arena.announce(rest))
            case "players":
                tell(self.arena.board())
            case "save":
                self.save()
            case "stop":
                self.stopping = True
            case other:
                misbehave(other, rest.strip())

    def typed(self, guest: Guest, line: str) -> None:
        """A line from a player; the first is the name."""
        if guest.name is None:
            why = self.arena.refusal(line.strip())
            if why is not None:
                guest.write(f"{why} Your name?")
                return
            guest.name = line.strip()
            self.hear(self.arena.join(guest.name, time.monotonic()))
        elif line.strip().lower() in ("quit", "exit"):
            guest.write("Farewell.")
            guest.close()
        else:
            self.hear(self.arena.act(guest.name, line))

    def gone(self, guest: Guest) -> None:
        """A connection ended."""
        self._guests.discard(guest)
        if guest.name is not None and guest.name in self.arena.players:
            self.hear(self.arena.leave(guest.name))

    def _accept(self, _: int) -> None:
        try:
            connection, _address = self._tcp.accept()
        except OSError:
            return
        if len(self._guests) >= 2 * MOST:
            connection.close()
            return
        guest = Guest(connection, self.selector, self.typed, self.gone)
        self._guests.add(guest)
        guest.write(f"{self._name}, a text arena. Your name?")

    def _answer(self, _: int) -> None:
        try:
            request, address = self._udp.recvfrom(2048)
            now = time.monotonic()
            players = [
                (each.name, self.arena.scores[each.name], now - each.since) for each in self.arena.players.values()
            ]
            shown = Shown(self._name, "arena", VERSION, self.address[1], MOST, players)
            said = reply(request, self._secret, address[:2], shown)
            if said is not None:
                self._udp.sendto(said, address)
        except OSError:
            pass  # a datagram may always be lost


def tell(text: str) -> None:
    """A line on our own output, at once."""
    print(text, flush=True)


def _scores(save_file: str | None) -> dict[str, int]:
    if save_file is None:
        return {}
    try:
        with open(save_file) as file:
            scores = json.load(file)["scores"]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        tell(f"Starting without the old scores: {save_file}: {error}")
        return {}
    return {str(name): int(won) for name, won in scores.items()}


def _listen(bind: str, port: int) -> tuple[socket.socket, socket.socket]:
    """TCP and UDP on one port; port 0: any that is free for both."""
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    for attempt in range(_TRIES):
        tcp = socket.socket(family, socket.SOCK_STREAM)
        udp = socket.socket(family, socket.SOCK_DGRAM)
        try:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tcp.bind((bind, port))
            tcp.listen()
            udp.bind((bind, tcp.getsockname()[1]))
        except OSError:
            tcp.close()
            udp.close()
            if port or attempt == _TRIES - 1:
                raise
            continue
        tcp.setblocking(False)
        udp.setblocking(False)
        return tcp, udp
    raise AssertionError("unreachable")


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port from 0 to 65535")
    return int(text)


def main(arguments: list[str]) -> int:
    """The program. Exit codes: 0 stopped by console or SIGTERM (scores saved), 1 port taken, 2 wrong arguments."""
    parser = argparse.ArgumentParser(prog="manman.demo", description="A text arena for people with telnet.")
    parser.add_argument("--port", type=_port, default=27015, help="TCP for players and UDP for queries; 0: any")
    parser.add_argument("--bind", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--name", default="Demo arena", help="shown to players and server browsers")
    parser.add_argument("--save-file", help="where the scores are kept")
    given = parser.parse_args(arguments)
    try:
        game = Game(given.bind, given.port, given.name, given.save_file)
    except OSError as error:
        print(f"cannot listen on {given.bind}:{given.port}: {error.strerror}", file=sys.stderr)
        return 1
    woken, wake = socket.socketpair()
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno())
    game.selector.register(woken, selectors.EVENT_READ, lambda _: woken.recv(64))

    def stop(number: int, _: object) -> None:
        game.stopping = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    game.run()
    return 0
