"""gRPC around the models. Knows no torch."""
