"""Any bytes, thrown at what reads callers' input: in the tests for a moment, by ./run fuzz for as long as told."""
