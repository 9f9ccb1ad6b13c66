"""The rules of what must hold, against real processes, a real broker and a real database, judged by the simulation's checker."""
