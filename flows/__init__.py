"""The stages put together: the command line, and thin Prefect flows around the same functions."""

import os

# Before NumPy is imported: photone puts its own threads and processes on the cores, and OpenBLAS's would spin beside them, a
# tenth of a song's time.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
