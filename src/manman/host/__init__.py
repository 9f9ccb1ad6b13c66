"""The execution plane's agent: one on each machine that plays games. It talks outward only.

The way of a command: bus → `journal` → acknowledge → `commands` → a deployment's `keeper` (one task each) → a session's `runner`
(one task each) → `starting` → a runtime → the wrapper. The way of an event: the wrapper's spool → `runner` → `journal` →
`sender` → bus, in order, deleted only after the confirm. Console lines (`logs`) and `heartbeats` are perishable and skip the journal.

What runs outlives the agent: `reconcile` looks at it at the start, and the spool's offset in the journal makes each step told
once over any number of lives. What follows an end (`ending`, `following`) is decided here by the rules of `domain`, whatever
else is down. `join` makes this machine's identity; `agent` is the one loop, given its bus and its source of launches.

What may go wrong: the bus or the API is away (it waits, games run on); the disk is full (`disk`: nothing new begins, the
ballast lets the journal record an exit); another agent has this identity (it says nothing and tries again).
"""
