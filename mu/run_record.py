"""One run as it is read: what listings show, how it unlearned, and what it can be compared with.

Nothing here knows where runs are kept: :mod:`mu.tracking` makes records of MLflow's runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from mu.errors import UserError
from mu.file_names import SPEC_FILE
from mu.readers.documents import read_json
from mu.tags import FORGET, MASK, ORACLE, ORACLE_KEY, SPEC, UPSTREAM, fingerprint_tag

if TYPE_CHECKING:
    from mu.data.images import Indices
    from mu.methods.base import Method
    from mu.spec import Spec

CONFIG_FILE = "config.json"
FORGET_FILE = "forget/indices.npy"
SUSPECTS_FILE = "suspects/indices.npy"

# What a configuration holds that is no setting of the method: what the checkpoint's spec says
# better, and what MLflow's launcher logs as it was typed. Nor is what starts with `prune_`.
NO_SETTINGS = {
    "method", "forget", "seed", "oracle_run_id", "resume_run_id", "device", "devices", "precision",
    "threads", "workers", "dataset", "data_dir", "image_size", "arch", "stem", "mask_run_id",
}  # fmt: skip
LATER = {"max_accuracy_drop"}  # settings of methods that configurations of earlier versions lack
PLAIN = {"dataset", "image_size", "arch", "stem"}  # of an original's settings: without `prune_`
SEEDS_OF_ORIGINAL = {"seed", "split_seed"}


class Seeds(NamedTuple):
    """The three seeds that an unlearned model depends on."""

    split: int
    training: int
    unlearning: int

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self._asdict().items())


@dataclass(frozen=True)
class RunRecord:
    """One run. What lies in its artifacts, or in other runs, is read when it is needed, and once.

    What is read so raises a :class:`UserError` that names the run where it is missing or damaged.
    ``reads`` reads an artifact by its path, checked against its tag where it has one; ``finds``
    finds another run of the same store by its ID. Both raise a :class:`UserError`. ``known``: what
    need not be read, by name.
    """

    run_id: str
    entry: str  # the entry point that it is of; "-" of others
    name: str  # whoever may write to the store may have chosen it
    status: str
    started: datetime  # in the time zone of this machine
    seconds: float | None  # how long it took; None while it lasts
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    url: str = ""  # of the run's page; empty where it is not known
    artifacts: str = field(default="", kw_only=True)  # the address of where they lie
    reads: Callable[[str], bytes] | None = field(default=None, repr=False, compare=False)
    finds: Callable[[str], RunRecord] | None = field(default=None, repr=False, compare=False)
    known: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.__dict__.update(self.known)  # where cached properties look first

    @property
    def age(self) -> tuple[datetime, str]:
        """Orders runs from the oldest to the newest, always in the same way."""
        return self.started, self.run_id

    @property
    def holds_network(self) -> bool:
        """Whether it ended well and left a network: one over several sparsities leaves none."""
        return self.status == "FINISHED" and SPEC in self.tags

    @property
    def forget_fingerprint(self) -> str | None:
        """Of the sample numbers of its forget set."""
        return self.tags.get(FORGET)

    @property
    def upstream_run_id(self) -> str | None:
        """The run that it started from."""
        return self.tags.get(UPSTREAM)

    @property
    def oracle_run_id(self) -> str | None:
        """The oracle that it was compared with."""
        return self.tags.get(ORACLE)

    @cached_property
    def upstream(self) -> RunRecord | None:
        """The run that it started from; None if there is none, or it was deleted since."""
        return self._find(self.upstream_run_id)

    @cached_property
    def oracle(self) -> RunRecord | None:
        """The oracle that it was compared with; None if there is none, or it was deleted since."""
        return self._find(self.oracle_run_id)

    @property
    def is_oracle(self) -> bool:
        """Whether other runs can be compared with it."""
        return ORACLE_KEY in self.tags

    @cached_property
    def oracle_key(self) -> str | None:
        """Fingerprint of all but the seed that its oracle depends on; of an oracle, its own."""
        if self.is_oracle:
            return self.tags[ORACLE_KEY]
        return None if self.oracle is None else self.oracle.tags.get(ORACLE_KEY)

    def same_oracle(self, other: RunRecord) -> bool:
        """Whether both are compared with one oracle, or with two that differ in their seed alone.

        An oracle counts as its own.
        """
        mine, yours = (one.run_id if one.is_oracle else one.oracle_run_id for one in (self, other))
        key = self.oracle_key
        return mine is not None and (mine == yours or (key is not None and key == other.oracle_key))

    @cached_property
    def sparsity(self) -> float | None:
        """Of the original, 0-100 %; None where it is not known."""
        return (self.upstream or self).metrics.get("sparsity")

    @cached_property
    def original_mask(self) -> str | None:
        """Fingerprint of the original's mask, where it is known."""
        return None if self.upstream is None else self.upstream.tags.get(MASK)

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """Everything that was in force, by the names of options; see :attr:`method` for others."""
        try:
            return dict(read_json(self.read(CONFIG_FILE)))
        except (ValueError, TypeError) as error:
            raise self._unclear(error) from error

    @cached_property
    def values(self) -> Mapping[str, Any]:
        """:attr:`config`; where there is none the parameters, some of them as they were typed."""
        try:
            return self.config
        except UserError:
            return self.params

    def _value(self, name: str) -> str:
        if name not in self.values:
            raise UserError(f"run {self.run_id} has no parameter {name}; it cannot be compared")
        return str(self.values[name])

    @cached_property
    def method(self) -> str:
        """The unlearning method, by its registered name."""
        from mu.methods import check_method

        return check_method(self._value("method"))

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """Hyperparameters of the method, and what else the entry did apart from its original."""
        from mu.methods import method_class

        poison = self.spec.data.poison
        others = NO_SETTINGS | (poison.options().keys() if poison else set())
        return {
            name: value
            for name, value in method_class(self.method).renamed(self.values).items()
            if name not in others and not name.startswith("prune_")
        }

    def make_method(self) -> Method:
        """The unlearning method with its hyperparameters."""
        from mu.methods import make_method, method_class

        try:
            kind = method_class(name := str(self.config["method"]))
            config = kind.renamed(self.config)
            wanted = [one for one in kind.names() if one in config or one not in LATER]
            return make_method(name, {one: config[one] for one in wanted})
        except (KeyError, ValueError, TypeError, UserError) as error:
            raise self._unclear(error) from error

    def _unclear(self, error: Exception) -> UserError:
        return UserError(
            f"{CONFIG_FILE} of run {self.run_id} does not say how it unlearned ({error}); unlearn "
            "again, and take that run"
        )

    @property
    def forget_request(self) -> str:
        """What to forget, as it was requested."""
        return str(self.params.get("forget", "indices"))

    @cached_property
    def forget(self) -> str:
        """What to forget: a file by its contents, since it may be elsewhere, or have changed."""
        request = self._value("forget")
        if request.startswith("indices:"):
            return f"indices of fingerprint {self.forget_fingerprint}"
        return request

    @cached_property
    def forget_indices(self) -> Indices:
        """The sample numbers of the forget set, int64 of shape (n_samples,), sorted."""
        from mu.data.forget_split import indices_digest

        numbers = self._numbers(FORGET_FILE)
        if fingerprint_tag(indices_digest(numbers)) != self.forget_fingerprint:
            raise UserError(
                f"{FORGET_FILE} of run {self.run_id} is damaged: it is not what the tag "
                f"{FORGET} says; make the run again"
            )
        return numbers

    @cached_property
    def suspects(self) -> Indices:
        """Sample numbers that it suspects, int64 of shape (n,), the most suspicious first."""
        return self._numbers(SUSPECTS_FILE)

    def _numbers(self, path: str) -> Indices:
        import numpy as np

        from mu.readers.arrays import read_npy

        try:
            numbers = read_npy(self.read(path))
            if numbers.dtype.kind != "i" or numbers.ndim != 1:
                raise ValueError(f"it holds {numbers.dtype} of shape {numbers.shape}, not samples")
            return numbers.astype(np.int64)
        except ValueError as error:
            raise UserError(f"{path} of run {self.run_id} is damaged: {error}") from error

    @cached_property
    def spec(self) -> Spec:
        """Of the network that it left."""
        from mu.spec import Spec

        return Spec.from_json(self.read(SPEC_FILE))[0]

    @cached_property
    def seeds(self) -> Seeds:
        """Those of the split, of the original's training and of the unlearning."""
        recipe, text = self.spec.recipe, self._value("seed")
        try:
            return Seeds(recipe.split.split_seed, recipe.seed, int(text))
        except ValueError:
            raise UserError(
                f"run {self.run_id} has the seed {text!r}, which is not a whole number"
            ) from None

    @cached_property
    def original(self) -> Mapping[str, Any]:
        """Everything but seeds that the original depends on, data included, by name."""
        spec = self.spec
        left_out = SEEDS_OF_ORIGINAL | {"profile"}  # which only sets other settings
        return {
            **{
                name if name in PLAIN else f"prune_{name}": value
                for name, value in spec.settings().items()
                if name not in left_out
            },
            "data": fingerprint_tag(spec.data.fingerprint),
            "mean": spec.data.mean,
            "std": spec.data.std,
            "given mask": spec.recipe.given_mask is not None,
            "history": spec.history[:-1],  # the last is this method
            **(spec.data.poison.options() if spec.data.poison else {}),
        }

    def complete(self) -> RunRecord:
        """The run itself, once all that is compared of it was read."""
        for name in ("method", "forget", "seeds", "settings", "original", "sparsity"):
            getattr(self, name)
        return self

    def read(self, path: str) -> bytes:
        """An artifact, checked against its tag where it has one."""
        if self.reads is None:
            raise UserError(f"run {self.run_id} has no readable artifact {path}")
        return self.reads(path)

    def _find(self, run_id: str | None) -> RunRecord | None:
        if run_id is None or self.finds is None:
            return None
        try:
            return self.finds(run_id)
        except UserError:  # it was deleted since
            return None
