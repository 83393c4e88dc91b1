"""The performance model: standard library only, no input or output."""
