"""Every chip put through the same training run, and why it costs what it costs."""
