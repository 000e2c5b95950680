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
from mu.data.images import Indices, Subset
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
FOLDER = "references"
MODELS_FILE = f"{FOLDER}/models.npz"  # of the models under attack


def reference_file(number: int) -> str:
    """Where reference ``number`` is kept among the artifacts of its run."""
    return f"{FOLDER}/{number:03d}.npz"


@dataclass(frozen=True, eq=False)
class View:
    """What a network says of the samples under attack and of the population."""

    attacked: Outputs
    bystanders: Outputs
    retained: Outputs | None = None  # of the retained samples under attack, where there are any

    @classmethod
    def of(cls, model: nn.Module, challenge: Challenge, run: Run) -> View:
        """Pass all through the network, once."""
        return cls(**{name: predict(model, one, run) for name, one in parts_of(challenge).items()})


@dataclass(frozen=True, eq=False)
class Reference:
    """What a reference says, once trained and once it has unlearned its share of the challenge."""

    seen: Seen  # which samples under attack it trained on, bool of shape (n_samples,)
    trained: View
    unlearned: View | None  # None where no method is under attack
    seen_retained: Seen  # which retained samples under attack, bool of shape (n_retained,)

    def to_bytes(self) -> bytes:
        """As npz: ``seen``, and logits as float32, which is what networks give."""
        arrays = {"seen": self.seen, **view_arrays("trained", self.trained)}
        if len(self.seen_retained):
            arrays["seen_retained"] = self.seen_retained
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
            seen, retained = kept["seen"], challenge.seen_retained(number)
            seen_retained = kept["seen_retained"] if len(retained) else retained
            trained = _view(kept, "trained", challenge)
            after = _view(kept, "unlearned", challenge) if unlearned else None
        except (ValueError, KeyError) as error:
            raise ValueError(f"it is damaged ({error!r})") from error
        if not np.array_equal(seen, challenge.seen(number)) or not np.array_equal(
            seen_retained, retained
        ):
            raise ValueError("it saw other samples")
        return cls(seen, trained, after, seen_retained)


def parts_of(challenge: Challenge) -> dict[str, Subset]:
    """What is passed through every network, by the names of the parts of a :class:`View`."""
    found = {"attacked": challenge.attacked, "bystanders": challenge.bystanders}
    if len(challenge.retained):
        found["retained"] = challenge.dataset.training_subset(challenge.retained)
    return found


def view_arrays(name: str, view: View) -> dict[str, NDArray[np.generic]]:
    """The logits of a view, float32, by names for a file."""
    parts = {part: getattr(view, part) for part in ("attacked", "bystanders", "retained")}
    return {
        f"{name}_{part}": one.logits.float().numpy()
        for part, one in parts.items()
        if one is not None
    }


def save_models(path: Path, challenge: Challenge, views: Mapping[str, View], first: int) -> None:
    """Write the outputs of models under attack: with the references, the whole attack.

    Test images go by their numbers among these; ``first`` is how many training images there are.
    """
    arrays: dict[str, Any] = {
        "forget": challenge.members,
        "test": challenge.non_members - first,
        "population": challenge.population,
        "retained": challenge.retained,
    }
    for part, subset in parts_of(challenge).items():
        arrays[f"labels_{part}"] = subset.labels.numpy()
    for name, view in views.items():
        arrays |= view_arrays(name, view)
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(path, **arrays)


@dataclass(frozen=True, eq=False)
class Kept:
    """What the references that a run has kept say of the training samples under attack."""

    samples: Indices  # the forget set, then the retained samples, if there are any
    right: NDArray[np.bool_]  # which reference gives which its label, (n_references, n_samples)
    margins: Scores  # log-odds of the true class, of the same shape
    seen: Seen  # which reference trained on which, of the same shape

    @classmethod
    def read(cls, read: Callable[[str], bytes], count: int) -> Kept:
        """What ``count`` references say; ``read`` gives an artifact by its path.

        ValueError if a file is damaged, or not of the others' samples.
        """
        try:
            models = read_npz(read(MODELS_FILE))
            cut = len(models["forget"])
            files = [read_npz(read(reference_file(number))) for number in range(count)]
            labels, samples = models["labels_attacked"][:cut], models["forget"]
            logits = [one["trained_attacked"][:cut] for one in files]
            seen = [one["seen"][:cut] for one in files]
            if "labels_retained" in models:
                labels = np.concatenate([labels, models["labels_retained"]])
                samples = np.concatenate([samples, models["retained"]])
                more = [one["trained_retained"] for one in files]
                logits = [np.concatenate(pair) for pair in zip(logits, more, strict=True)]
                more = [one["seen_retained"] for one in files]
                seen = [np.concatenate(pair) for pair in zip(seen, more, strict=True)]
            given = torch.from_numpy(labels)
            outputs = [Outputs(torch.from_numpy(one).double(), given) for one in logits]
            right = np.stack([one.right.numpy() for one in outputs])
            margins = np.stack([one.score("margin").numpy() for one in outputs])
            if right.shape != (count, len(samples)) or np.shape(seen) != right.shape:
                raise ValueError("its files are of different samples")
        except (KeyError, IndexError, TypeError, RuntimeError) as error:
            raise ValueError(f"a file of it is damaged ({error!r})") from error
        return cls(samples.astype(np.int64), right, margins, np.stack(seen))


def _view(arrays: Mapping[str, NDArray[np.generic]], name: str, challenge: Challenge) -> View:
    def outputs(part: str, subset: Subset) -> Outputs:
        logits, shape = arrays[f"{name}_{part}"], (len(subset), len(challenge.dataset.classes))
        if logits.dtype != np.float32 or logits.shape != shape:
            raise ValueError(
                f"logits are {logits.dtype} of shape {logits.shape}, not float32 {shape}"
            )
        return Outputs(torch.from_numpy(logits).double(), subset.labels)

    return View(**{part: outputs(part, one) for part, one in parts_of(challenge).items()})


def make_reference(
    original: Checkpoint,
    challenge: Challenge,
    number: int,
    run: Run,
    train: Train,
    forget: Forget | None = None,
) -> Reference:
    """Train reference ``number``, evaluate it, let it unlearn its share, evaluate it again.

    Trained as Retrain is: by the original's recipe under the original's mask, which saw the forget
    set, but from initial weights of its own. ValueError if the run has another seed. ``run``: with
    the seed ``challenge.seed_of(number)``. ``forget``: the method under attack; None where there is
    none.
    """
    spec, split = challenge.spec_of(original.spec, number), challenge.split_of(number)
    if run.seed != spec.recipe.seed:
        raise ValueError(f"reference {number} works with seed {spec.recipe.seed}, not {run.seed}")
    data = challenge.dataset.training_subset(np.sort(np.concatenate([split.retain, split.forget])))
    model, mask = train(spec.recipe, data, run, mask=original.mask)
    checkpoint = Checkpoint(model, mask, spec)
    trained = View.of(model, challenge, run)
    unlearned = None
    if forget is not None:
        forget(checkpoint, split, run)
        unlearned = View.of(checkpoint.model, challenge, run)
    return Reference(challenge.seen(number), trained, unlearned, challenge.seen_retained(number))


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
