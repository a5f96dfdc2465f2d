"""What every stage uses. Imports nothing of ours."""
