"""A checkpointer that needs no run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mu.errors import UserError
from mu.training.progress import (
    Progress,
    file_name,
    progress_files,
    read_newest,
    remove_older,
    write_whole,
)


class FolderCheckpointer:
    """Keeps progress in a folder.

    Parameters
    ----------
    folder
        Made when it is needed.
    about
        JSON-ready: what is being made. Progress of something else is refused.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any]) -> None:
        self.folder = folder
        self.about = json.loads(json.dumps(about))

    def save(self, progress: Progress) -> None:
        """See :meth:`Checkpointer.save`."""
        content = progress.to_bytes(self.about)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(self.folder / file_name(progress, content), content)
        remove_older(self.folder)

    def last(self) -> Progress | None:
        """See :meth:`Checkpointer.last`.

        UserError if there is progress, but all of it is damaged, or it is of something else.
        """
        if not progress_files(self.folder):
            return None
        progress, about = read_newest(self.folder)
        if about != self.about:
            raise UserError(
                f"{str(self.folder)!r} holds the progress of another training; resume that one "
                "with its own settings, or name another folder"
            )
        return progress
