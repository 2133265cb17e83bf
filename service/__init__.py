"""gRPC around the models. Knows no torch."""

import os

# gRPC reads it once, when it is imported. The listener that it now prefers takes each byte through one thread more: a
# lone call costs a third more of the processor, others two fifths.
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener")
