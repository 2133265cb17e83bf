"""The Open Inference Protocol on top of the same pipelines: tensors in, tensors out."""
