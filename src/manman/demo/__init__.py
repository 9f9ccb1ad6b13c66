"""The demo game: a TCP text arena for two people with telnet. Standard library only."""
