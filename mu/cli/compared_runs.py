"""Old names, until tasks import them from where they are."""

from mu.tracking import Chosen, choose_runs

__all__ = ["Chosen", "choose_runs"]
