"""What `moat predict` answers with: one function per kind of request."""

from .serving import predict as serving
from .training import predict as training

__all__ = ["serving", "training"]
