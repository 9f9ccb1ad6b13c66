"""Steps of the schema, forward and back: `versions/<number>_<what>.py` names the step, the SQL lies beside it.

A step is one transaction unless it says `transactional = False` (an index built concurrently); such a step holds one statement in each
direction that may be repeated. It is written so that the previous release keeps working while replicas are replaced one by one.
"""
