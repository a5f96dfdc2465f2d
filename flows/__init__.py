"""The stages put together: the command line, and thin Prefect flows around the same functions."""
