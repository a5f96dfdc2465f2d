"""Prefect: the flows that are deployed, their tasks, forms and artifacts."""
