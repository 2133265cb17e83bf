"""The Open Inference Protocol in JSON."""
