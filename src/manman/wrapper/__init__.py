"""The small program beside each game: its parent under both runtimes. Standard library only, no asyncio; at most 16 MiB resident.

`pipe` is what it and the agent say, and the session folder's contents; `spool` is what it remembers, `spool_reader` how the
agent reads that; `launch` how the agent starts it. Inside: `main` detaches and takes the folder's lock, `child` becomes the
game, `session` is the loop, `console`, `door` and `readiness` its eyes and ears, `verdict` judges the end.

What may go wrong: a launch that cannot run, a full disk, a deleted folder, a wrapper that is killed. Each ends in an exit
record (the last one when a wrapper is started over the folder again), and a session never runs twice.
"""
