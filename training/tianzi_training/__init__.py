"""Training of the models: PyTorch, never shipped with the server."""

import os

# Each of the processes that make batches would have OpenBLAS start a thread a core for products of a few numbers: on 16
# cores 15 of them made 700 pictures a second instead of 7,000 or more. Read when NumPy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
