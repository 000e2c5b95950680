"""The store of a rank that is not the first: it is read, and nothing is written to it."""

from __future__ import annotations

from typing import Any

from mlflow.tracking import MlflowClient

_READING = ("get_", "search_", "list_", "download_", "load_")


class SilentClient(MlflowClient):
    """A client whose writing methods do nothing, so that of several ranks one alone tracks."""

    def __getattribute__(self, name: str) -> Any:
        if name.startswith(("_", *_READING)) or not callable(getattr(MlflowClient, name, None)):
            return super().__getattribute__(name)
        return lambda *_, **__: None
