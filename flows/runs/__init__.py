"""A run folder: the stages that fill it, the ledger that knows what is done, locks, storage, work in child processes."""
