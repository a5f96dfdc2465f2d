"""The documents that pass between the stages: pydantic models (the single source) and their exported JSON Schemas."""
