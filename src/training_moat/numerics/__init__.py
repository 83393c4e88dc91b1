"""Emulated low-precision arithmetic, and what the training experiment is judged by."""
