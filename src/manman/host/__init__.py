"""The execution plane's agent: one on each machine that plays games. It talks outward only.

The way of a command: bus → journal → acknowledge → supervisor (a task for each session) → runtime → wrapper; the way of an
event: wrapper → journal → bus, in order, deleted only after the confirm. Games outlive it; what follows an end it decides itself.
"""
