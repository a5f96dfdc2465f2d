"""Phase 2: effects become instruments in tune, and instruments play a score."""
