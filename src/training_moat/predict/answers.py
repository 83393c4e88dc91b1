"""What `moat predict` answers with: one function per kind of request."""

from training_moat.predict.serving import predict as serving
from training_moat.predict.training import predict as training

__all__ = ["serving", "training"]
