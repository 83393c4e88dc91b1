"""One module per verb of the command `moat`: `add` declares its arguments, `run` does it."""
