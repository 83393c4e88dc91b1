"""The data tables as validated frames and core objects. Nothing else reads `data/`."""
