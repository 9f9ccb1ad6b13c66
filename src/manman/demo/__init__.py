"""The demo game: a TCP text arena for two people with telnet, in the standard library only.

`python -m manman.demo`, or by its folder with `-I -S -B`. `arena` is the game's rules, `query` its answers to server
browsers, `game` the loop between players, console and clock. What happens is printed; `Ready on …` means that one may join.
"""
