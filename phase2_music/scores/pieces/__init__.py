"""The arrangements, one module per piece; each has a `PIECE`."""
