"""Single-character recognition: image → crop → probabilities → characters."""
