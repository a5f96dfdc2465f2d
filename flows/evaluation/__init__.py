"""How good is what photone makes? Measured by players and rules that have no part in making it."""
