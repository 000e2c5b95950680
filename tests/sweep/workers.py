"""What workers of the tests do; in a module of its own, which they import."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def perform(document: Mapping[str, Any]) -> dict[str, Any]:
    """Do what the document says, and tell who did it, where."""
    if "touch" in document:
        Path(document["touch"]).write_text(str(os.getpid()))
    if document.get("die"):
        os.kill(os.getpid(), signal.SIGKILL)
    if "leave" in document:
        os._exit(document["leave"])
    time.sleep(document.get("sleep", 0))
    return {"pid": os.getpid(), "place": os.environ.get("PLACE"), "said": document.get("say")}


def stubborn(document: Mapping[str, Any]) -> dict[str, Any]:
    """Heed no SIGTERM, unless told to."""
    if not document.get("heed"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return perform(document)
