"""Outputs of the models as evidence keeps them, and what cannot be computed from outputs."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mu.evaluation.outputs import Outputs, SplitOutputs
from mu.evaluation.reductions import REDUCTIONS
from mu.readers.arrays import read_npz

ROLES = {"original": "Before", "model": "After", "oracle": "Oracle"}  # and endings of numbers

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class References:
    """What reference models say of the records."""

    margins: NDArray[np.float64]  # log-odds of the label, (n_references, n_records)
    seen: NDArray[np.bool_]  # which of them trained on which record, of the same shape

    def __len__(self) -> int:
        return len(self.margins)


@dataclass(frozen=True, eq=False)
class Evidence:
    """Outputs of the models, and what cannot be computed from them."""

    models: Mapping[str, SplitOutputs]  # by role: original, model and, where there is one, oracle
    seed: int  # of the attacks' samples
    whole: NDArray[np.bool_]  # which records are of classes that are forgotten as a whole, (n,)
    retrained: bool = False  # whether the model was trained from scratch without the records
    depth: float | None = None
    oracle_spread: float | None = None
    references: References | None = None

    def in_order(self, order: Sequence[int]) -> Evidence:
        """The same, with the records in another order, and the retain set sorted by its outputs.

        So no order says which sample numbers they have.
        """
        places = np.array(list(order), np.int64)
        rows, others = torch.from_numpy(places), self._sorted_retain()
        models = {
            role: SplitOutputs(
                one.forget.select(rows), one.retain.select(others), one.test, one.test_forgotten
            )
            for role, one in self.models.items()
        }
        known = self.references
        if known is not None:
            known = References(known.margins[:, places], known.seen[:, places])
        return replace(self, models=models, whole=self.whole[places], references=known)

    def _sorted_retain(self) -> torch.Tensor:
        columns = [next(iter(self.models.values())).retain.labels.numpy()]
        for one in self.models.values():
            columns += [*_columns(one.retain)]
        return torch.from_numpy(np.lexsort(columns[::-1]))

    def to_bytes(self) -> bytes:
        """The outputs as npz: logits as float32, or the scores of sets too large to keep them."""
        arrays: dict[str, NDArray[Any]] = {"whole": self.whole, "seed": np.array(self.seed)}
        if self.references is not None:
            arrays |= {f"references/{n}": one for n, one in vars(self.references).items()}
        for role, model in self.models.items():
            for part, one in model.parts().items():
                arrays[f"labels/{part}"] = one.labels.numpy()
                if one.has_logits:
                    arrays[f"{role}/{part}/logits"] = one.logits.float().numpy()
                    continue
                arrays[f"{role}/{part}/classes"] = np.array(one.classes)
                for name in REDUCTIONS:
                    arrays[f"{role}/{part}/{name}"] = one.score(name).numpy()
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        return file.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes, effect: Mapping[str, Any], *, retrained: bool) -> Evidence:
        """Read what :meth:`to_bytes` gave; ``effect``: the statement's, for what outputs lack.

        ValueError if it is damaged.
        """
        arrays = read_npz(content)
        try:
            models = {role: _outputs(arrays, role) for role in ROLES if _has(arrays, role)}
            depth, spread = effect.get("depth"), effect.get("oracleSpread")
            whole, seed = arrays["whole"].astype(bool), int(arrays["seed"])
            known = None
            if _has(arrays, "references"):
                known = References(arrays["references/margins"], arrays["references/seen"])
        except (KeyError, TypeError, RuntimeError) as error:
            raise ValueError(f"outputs.npz is damaged ({error!r})") from error
        return cls(models, seed, whole, retrained, depth, spread, known)


def _columns(outputs: Outputs) -> Sequence[NDArray[Any]]:
    """All that is kept of a set, a column for each number."""
    if outputs.has_logits:
        return [*outputs.logits.float().numpy().T]
    return [outputs.score(name).numpy() for name in REDUCTIONS]


def _has(arrays: Arrays, role: str) -> bool:
    return any(name.startswith(f"{role}/") for name in arrays)


def _outputs(arrays: Arrays, role: str) -> SplitOutputs:
    parts = {
        name.split("/")[1]: _part(arrays, role, name.split("/")[1])
        for name in arrays
        if name.startswith(f"{role}/")
    }
    return SplitOutputs(
        parts["forget"], parts["retain"], parts["test"], parts.get("test_forgotten")
    )


def _part(arrays: Arrays, role: str, part: str) -> Outputs:
    labels = torch.from_numpy(arrays[f"labels/{part}"].astype(np.int64))
    logits = arrays.get(f"{role}/{part}/logits")
    if logits is not None:
        return Outputs(torch.from_numpy(logits).double(), labels)
    scores = {name: torch.from_numpy(arrays[f"{role}/{part}/{name}"]) for name in REDUCTIONS}
    return Outputs(None, labels, scores, int(arrays[f"{role}/{part}/classes"]))
