"""Training of the models: PyTorch, never shipped with the server."""
