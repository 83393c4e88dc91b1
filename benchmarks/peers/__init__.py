"""The other tools: installed in an environment of their own, asked through a pipe."""

from .environment import NAMES, Peer, opened

__all__ = ["NAMES", "Peer", "opened"]
