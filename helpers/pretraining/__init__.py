"""Back room: what makes the tiny checkpoints, from seeds alone."""
