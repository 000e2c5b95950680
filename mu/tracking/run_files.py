"""The artifacts of one run, wherever they lie: put, listed and removed one by one."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from glob import escape
from pathlib import Path, PurePosixPath

from mlflow.artifacts import download_artifacts
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.uri import is_local_uri

from mu.tracking.store import Store
from mu.training.progress import FOLDER, KEPT_FILES, is_progress, remove_older, write_whole


class RunFiles:
    """In a folder of this machine each file is there whole or not at all.

    ``uri``: where they are; the store is asked when the first one is needed.
    """

    def __init__(self, store: Store, run_id: str, uri: str | None = None) -> None:
        self._store, self._run_id, self._given = store, run_id, uri

    @cached_property
    def _uri(self) -> str:
        return self._given or str(self._store.run(self._run_id).info.artifact_uri)

    @cached_property
    def local(self) -> Path | None:
        """The folder of this machine where they lie, if they do."""
        return Path(local_file_uri_to_path(self._uri)) if is_local_uri(self._uri) else None

    @cached_property
    def _repository(self) -> ArtifactRepository:
        return get_artifact_repository(self._uri, tracking_uri=self._store.uri)

    @contextmanager
    def fetched(self, path: str) -> Iterator[Path]:
        """A file, or a folder of them, on this machine: where it lies, or in a scratch folder."""
        if self.local is not None:
            yield self.local / path
            return
        with tempfile.TemporaryDirectory(prefix="mu-") as scratch:
            fetched = download_artifacts(
                run_id=self._run_id,
                artifact_path=path,
                dst_path=scratch,
                tracking_uri=self._store.uri,
            )
            yield Path(fetched)

    def put(self, path: str, content: bytes) -> None:
        """Put a file there, in place of an earlier one."""
        if self.local is not None:
            target = self.local / path
            target.parent.mkdir(parents=True, exist_ok=True)
            write_whole(target, content)
            for half in target.parent.glob(f".{escape(target.name)}.*"):  # of a killed process
                half.unlink(missing_ok=True)
            return
        with tempfile.TemporaryDirectory(prefix="mu-") as scratch:
            file = Path(scratch) / Path(path).name
            file.write_bytes(content)
            self._store.client.log_artifact(self._run_id, str(file), str(Path(path).parent))

    def put_progress(self, path: str, content: bytes) -> None:
        """Put progress there, and remove older progress but the one before it."""
        self.put(path, content)
        if self.local is not None:
            remove_older(self.local / FOLDER)
            return
        there = sorted(
            one.path
            for one in self._repository.list_artifacts(FOLDER)
            if is_progress(Path(one.path).name)
        )
        for one in there[:-KEPT_FILES]:
            if one != path:
                self._repository.delete_artifacts(one)

    def names(self, folder: str = "") -> list[str]:
        """Names of the files and folders in a folder of them, sorted; none where it is missing."""
        if self.local is not None:
            place = self.local / folder
            return sorted(one.name for one in place.iterdir()) if place.is_dir() else []
        found = self._store.client.list_artifacts(self._run_id, folder or None)
        return sorted(Path(one.path).name for one in found)

    def remove(self, path: str) -> None:
        """Remove a file, or a folder with all that is in it, if it is there."""
        place = PurePosixPath(path)
        if place.name not in self.names(
            "" if place.parent == PurePosixPath() else str(place.parent)
        ):
            return
        if self.local is None:
            self._repository.delete_artifacts(path)
        elif (self.local / path).is_dir():
            shutil.rmtree(self.local / path)
        else:
            (self.local / path).unlink()

    def remove_progress(self) -> None:
        """Remove all that is kept to resume the run."""
        self.remove(FOLDER)
