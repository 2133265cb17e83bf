"""gRPC around the models. Knows no torch."""

import os

# gRPC reads it once, when it is imported. The listener that it now prefers takes each byte through one thread more, and
# a call pays for it: docs/experiments.md.
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener")
