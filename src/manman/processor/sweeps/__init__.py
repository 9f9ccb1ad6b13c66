"""What the clock makes due, done by one leader: each file one sweep, each a `step` in one transaction of the leader's lease.

`hosts` finds silent hosts, `deadlines` ends starts that came to nothing, `wishes` repeats what hosts have not seen, `reports` asks
hosts that differ from the rows, `lost` gives up what stayed away, `retention` forgets. Only the database's clock is asked; a sweep
judges only what it could have heard.
"""
