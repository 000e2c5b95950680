"""The policy: thresholds of an erasure, declared before it is done, and kept in its evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import yaml

from mu.data import COPIES
from mu.errors import UserError
from mu.hyperparameters import Hyperparameters, setting
from mu.readers.documents import read_yaml
from mu.readers.paths import checked_path


@dataclass(frozen=True)
class Policy(Hyperparameters):
    """When records count as forgotten, and what is done about copies and about many requests."""

    known_at: float = setting(
        5.0,
        help="a record counts as known where the model is at least as sure of it as of all but so "
        "many percent of the images of its class that it never saw",
        low=0.0,
        high=50.0,
    )
    significance: float = setting(
        0.05,
        help="probability at which more known records than chance gives are no chance",
        above=0.0,
        below=1.0,
    )
    auc: float = setting(
        0.55,
        help="how well an attack may tell all records from images never seen (0.5 is a guess): the "
        "lower end of its interval is at most this, and the upper end at least 1 minus this",
        low=0.5,
        high=1.0,
    )
    named: float = setting(
        5.0,
        help="of a class that is forgotten as a whole: percent of its records that the model may "
        "still give their class, beyond what the oracle gives",
        low=0.0,
        high=100.0,
    )
    gap: float = setting(
        5.0, help="points between the model and the oracle, if there is one", low=0.0, high=100.0
    )
    depth: float = setting(
        50.0,
        help="depth of forgetting in percent of the oracle's, if it was measured: below it the "
        "records are hidden rather than removed",
        low=0.0,
    )
    utility: float = setting(
        2.0, help="points of test accuracy that the model may lose", low=0.0, high=100.0
    )
    privacy: float = setting(
        5.0,
        help="points by which an attack on the records that stay may do better than before",
        low=0.0,
        high=100.0,
    )
    copies: str = setting(
        COPIES[0], help="exact copies of the records: forget or keep them", choices=COPIES
    )
    near_copies: str = setting(
        "list",
        help="near-copies of the records: forget them, list them for a person to decide, or skip "
        "the search, which takes a network with a head",
        choices=("forget", "list", "skip"),
    )
    near_at: float = setting(
        0.995,
        help="cosine similarity of the features of two images from which on they are near-copies",
        low=0.5,
        high=1.0,
    )
    requests: int = setting(
        10,
        help="unlearnings in a row after which the model is trained from scratch",
        low=1,
        high=10_000,
    )
    drift: float = setting(
        3.0,
        help="gap to an oracle, in points, from which on the model is trained from scratch",
        low=0.0,
        high=100.0,
    )
    days: int = setting(30, help="days within which a request is due", low=1, high=3650)

    @classmethod
    def of_file(cls, file: str | None) -> Self:
        """The policy in a YAML file, whose thresholds replace the default ones.

        UserError if the file is missing or no mapping, or a threshold is unknown or out of range.
        """
        if file is None:
            return cls()
        path = checked_path("policy", file)
        try:
            found = read_yaml(path.read_text(encoding="utf-8")) or {}
        except OSError as error:
            raise UserError(f"policy={file} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise UserError(f"policy={file} is no YAML: {error}") from error
        if not isinstance(found, Mapping):
            raise UserError(f"policy={file}: write a threshold a line, such as gap: 5")
        return cls.of({str(name): value for name, value in found.items()}, owner="the policy")

    def to_text(self) -> str:
        """All thresholds, as YAML."""
        return yaml.safe_dump(self.as_dict(), sort_keys=False)
