"""The Training Moat: a sourced, executable analysis of who can train AI models, and why."""

__version__ = "0.3.0"
