"""A model's way from request to answer: who may come in, what waits, what is run together."""
