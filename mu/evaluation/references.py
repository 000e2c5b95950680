"""Reference networks: trained as the original was, each on its share of a challenge, and kept."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mu.checkpoints import Checkpoint
from mu.data.forget_split import ForgetSplit
from mu.data.images import Subset
from mu.evaluation.attacks.likelihood import Seen, lira
from mu.evaluation.attacks.rates import Scores, rates
from mu.evaluation.attacks.rmia import rmia
from mu.evaluation.challenge import Challenge
from mu.evaluation.outputs import Outputs, predict
from mu.masks import Mask
from mu.readers.arrays import read_npz
from mu.runs import Run

# Trains by a recipe under a mask, as :func:`mu.originals.rounds.train_network` does.
Train = Callable[..., tuple[nn.Module, Mask]]
Forget = Callable[[Checkpoint, ForgetSplit, Run], None]
Pair = tuple[Scores, Scores]  # of members and of non-members


@dataclass(frozen=True, eq=False)
class View:
    """What a network says of the samples under attack and of the population."""

    attacked: Outputs
    bystanders: Outputs

    @classmethod
    def of(cls, model: nn.Module, challenge: Challenge, run: Run) -> View:
        """Pass both through the network, once."""
        return cls(
            predict(model, challenge.attacked, run), predict(model, challenge.bystanders, run)
        )


@dataclass(frozen=True, eq=False)
class Reference:
    """What a reference says, once trained and once it has unlearned its share of the challenge."""

    seen: Seen  # which samples under attack it trained on, bool of shape (n_samples,)
    trained: View
    unlearned: View | None  # None where no method is under attack

    def to_bytes(self) -> bytes:
        """As npz: ``seen``, and logits as float32, which is what networks give."""
        arrays = {"seen": self.seen, **view_arrays("trained", self.trained)}
        if self.unlearned is not None:
            arrays |= view_arrays("unlearned", self.unlearned)
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        return file.getvalue()

    @classmethod
    def from_bytes(
        cls, content: bytes, challenge: Challenge, number: int, *, unlearned: bool
    ) -> Reference:
        """Read what :meth:`to_bytes` gave for reference ``number`` of a challenge.

        ValueError if it is damaged, or of another challenge.
        """
        try:
            kept = read_npz(content)
            seen = kept["seen"]
            trained = _view(kept, "trained", challenge)
            after = _view(kept, "unlearned", challenge) if unlearned else None
        except (ValueError, KeyError) as error:
            raise ValueError(f"it is damaged ({error!r})") from error
        if not np.array_equal(seen, challenge.seen(number)):
            raise ValueError("it saw other samples")
        return cls(seen, trained, after)


def view_arrays(name: str, view: View) -> dict[str, NDArray[np.generic]]:
    """The logits of a view, float32, by names for a file."""
    return {
        f"{name}_{part}": getattr(view, part).logits.float().numpy()
        for part in ("attacked", "bystanders")
    }


def save_models(path: Path, challenge: Challenge, views: Mapping[str, View], first: int) -> None:
    """Write the outputs of models under attack: with the references, the whole attack.

    Test images go by their numbers among these; ``first`` is how many training images there are.
    """
    arrays: dict[str, Any] = {
        "forget": challenge.members,
        "test": challenge.non_members - first,
        "population": challenge.population,
        "labels_attacked": challenge.attacked.labels.numpy(),
        "labels_bystanders": challenge.bystanders.labels.numpy(),
    }
    for name, view in views.items():
        arrays |= view_arrays(name, view)
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(path, **arrays)


def _view(arrays: Mapping[str, NDArray[np.generic]], name: str, challenge: Challenge) -> View:
    def outputs(part: str, subset: Subset) -> Outputs:
        logits, shape = arrays[f"{name}_{part}"], (len(subset), len(challenge.dataset.classes))
        if logits.dtype != np.float32 or logits.shape != shape:
            raise ValueError(
                f"logits are {logits.dtype} of shape {logits.shape}, not float32 {shape}"
            )
        return Outputs(torch.from_numpy(logits).double(), subset.labels)

    return View(
        outputs("attacked", challenge.attacked), outputs("bystanders", challenge.bystanders)
    )


def make_reference(
    original: Checkpoint,
    challenge: Challenge,
    number: int,
    run: Run,
    train: Train,
    forget: Forget | None = None,
) -> Reference:
    """Train reference ``number``, evaluate it, let it unlearn its share, evaluate it again.

    Trained as Retrain is: by the original's recipe under the original's mask, which saw the
    forget set, but from initial weights of its own. ValueError if the run has another seed.

    Parameters
    ----------
    run
        With the seed ``challenge.seed_of(number)``.
    forget
        The method under attack; None where there is none.
    """
    spec, split = challenge.spec_of(original.spec, number), challenge.split_of(number)
    if run.seed != spec.recipe.seed:
        raise ValueError(f"reference {number} works with seed {spec.recipe.seed}, not {run.seed}")
    data = challenge.dataset.training_subset(np.sort(np.concatenate([split.retain, split.forget])))
    model, mask = train(spec.recipe, data, run, mask=original.mask)
    checkpoint = Checkpoint(model, mask, spec)
    trained = View.of(model, challenge, run)
    if forget is None:
        return Reference(challenge.seen(number), trained, None)
    forget(checkpoint, split, run)
    return Reference(challenge.seen(number), trained, View.of(checkpoint.model, challenge, run))


def attack_all(
    views: Mapping[str, View], references: Sequence[Reference], members: int, gamma: float
) -> dict[str, dict[str, Pair]]:
    """Scores of members and of non-members, by attack and model.

    Parameters
    ----------
    views
        By model; the references that have unlearned (``ulira``) attack ``unlearned`` alone.
    members
        How many of the samples under attack are; they come first.
    gamma
        Of RMIA.
    """
    seen = np.stack([one.seen for one in references])
    trained = [one.trained for one in references]
    found = {name: attack(view, trained, seen, gamma=gamma) for name, view in views.items()}
    by_attack = {kind: {name: found[name][kind] for name in views} for kind in ("lira", "rmia")}
    if unlearned := [one.unlearned for one in references if one.unlearned is not None]:
        scores = attack(views["unlearned"], unlearned, seen, gamma=gamma)["lira"]
        by_attack["ulira"] = {"unlearned": scores}
    return {
        kind: {name: (one[:members], one[members:]) for name, one in models.items()}
        for kind, models in by_attack.items()
    }


def attack_rates(
    scores: Mapping[str, Mapping[str, Pair]], model: str, seed: int
) -> dict[str, float]:
    """What the attacks of :func:`attack_all` find of a model: ``lira_auc``, ``lira_auc_lo``, ..."""
    return {
        f"{kind}_{name}": value
        for kind, models in scores.items()
        if model in models
        for name, value in rates(*models[model], seed=seed).items()
    }


def attack(
    target: View, references: Sequence[View], seen: Seen, *, gamma: float
) -> dict[str, Scores]:
    """Scores of the samples under attack, by attack (``lira``, ``rmia``), of shape (n_samples,).

    Parameters
    ----------
    target
        What the network under attack says.
    references
        What the references say: as trained, or once they have unlearned (U-LiRA).
    seen
        Bool of shape (n_references, n_samples).
    """

    def of_all(part: str, score: str) -> Scores:
        found = [getattr(view, part).score(score).numpy() for view in (target, *references)]
        return np.stack(found)

    margins = of_all("attacked", "margin")
    attacked, bystanders = (of_all(part, "log_confidence") for part in ("attacked", "bystanders"))
    return {
        "lira": lira(margins[0], margins[1:], seen),
        "rmia": rmia(attacked[0], attacked[1:], bystanders[0], bystanders[1:], gamma=gamma),
    }
