"""What a model is at run time: contract code and bundles. Knows neither torch nor gRPC."""
