"""From a checkpoint to a bundle: `python -m tianzi_training.export CONFIG.toml`."""
