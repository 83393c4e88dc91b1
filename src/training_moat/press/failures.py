"""The error of work that was asked for correctly and failed all the same."""


class WorkFailed(RuntimeError):
    """The work failed: one sentence that names what and where (exit status 1)."""
