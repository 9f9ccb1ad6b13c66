"""The rules of what must hold, against real processes, a real broker and a real database, judged by the simulation's checker."""

import os

# The API is served in the process that starts all others, and gRPC's handlers would hang what it forks.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
