"""gRPC: what callers may send and what they get back, and who is let in."""
