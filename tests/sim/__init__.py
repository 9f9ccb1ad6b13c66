"""The simulation: agents, a bus, replicas of the processor, relay and sweeps in one process, under a seed and a virtual clock, on a
real PostgreSQL. `make sim SEEDS=1000` runs many; the checker of `harness.checker` judges each history.
"""
