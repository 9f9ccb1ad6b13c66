"""The small program beside each game: its parent under both runtimes. Standard library only, no asyncio; at most 16 MiB resident.

`pipe` is what it and the agent say; `spool` is what it remembers.
"""
