"""Phase 1: a picture becomes a scene, and the scene's sources become effects."""
