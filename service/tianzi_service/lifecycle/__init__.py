"""A server's life, and that of several on one port: start, signals, new bundles, drain."""
