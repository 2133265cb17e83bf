"""HTTP: the same calls in JSON, the Open Inference Protocol's REST half, and a page to try the models on."""
