"""The measured runs, the fits to them, and how far the model is off."""
