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


View = Mapping[str, Outputs]  # what a network says of each part of a challenge
SEEN = {"attacked": "seen", "retained": "seen_retained"}  # names of arrays in files, by part


def view_of(model: nn.Module, challenge: Challenge, run: Run) -> View:
    """Pass all parts through the network, once."""
    return {part: predict(model, one, run) for part, one in challenge.parts().items()}


@dataclass(frozen=True, eq=False)
class Reference:
    """What a reference says, once trained and once it has unlearned its share of the challenge."""

    seen: Mapping[str, Seen]  # which samples of each of the targets it trained on
    trained: View
    unlearned: View | None  # None where no method is under attack

    def to_bytes(self) -> bytes:
        """As npz: ``seen``, and logits as float32, which is what networks give."""
        arrays = {SEEN[part]: one for part, one in self.seen.items()}
        arrays |= view_arrays("trained", self.trained)
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
        seen = challenge.seen(number)
        try:
            kept = read_npz(content)
            same = all(np.array_equal(kept[SEEN[part]], one) for part, one in seen.items())
            trained = _view(kept, "trained", challenge)
            after = _view(kept, "unlearned", challenge) if unlearned else None
        except (ValueError, KeyError) as error:
            raise ValueError(f"it is damaged ({error!r})") from error
        if not same:
            raise ValueError("it saw other samples")
        return cls(seen, trained, after)


def view_arrays(name: str, view: View) -> dict[str, NDArray[Any]]:
    """The logits of a view, float32, by names for a file."""
    return {f"{name}_{part}": one.logits.float().numpy() for part, one in view.items()}


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
    arrays |= {f"labels_{part}": one.labels.numpy() for part, one in challenge.parts().items()}
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
            files = [read_npz(read(reference_file(number))) for number in range(count)]
            # Of the samples that are attacked first come the forgotten ones, then test images.
            cuts = {"attacked": len(models["forget"]), "retained": None}
            parts = [part for part in cuts if f"labels_{part}" in models]

            def whole(arrays: Mapping[str, NDArray[Any]], **names: str) -> NDArray[Any]:
                return np.concatenate([arrays[names[part]][: cuts[part]] for part in parts])

            samples = whole(models, attacked="forget", retained="retained")
            labels = whole(models, attacked="labels_attacked", retained="labels_retained")
            logits = [
                whole(one, attacked="trained_attacked", retained="trained_retained")
                for one in files
            ]
            seen = [whole(one, **SEEN) for one in files]
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

    return {part: outputs(part, one) for part, one in challenge.parts().items()}


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
    trained = view_of(model, challenge, run)
    unlearned = None
    if forget is not None:
        forget(checkpoint, split, run)
        unlearned = view_of(checkpoint.model, challenge, run)
    return Reference(challenge.seen(number), trained, unlearned)


def attack_all(
    views: Mapping[str, View], references: Sequence[Reference], members: int, gamma: float
) -> dict[str, dict[str, Pair]]:
    """Scores of members and of non-members, by attack and model.

    ``views``: by model; the references that have unlearned (``ulira``) attack ``unlearned`` alone.
    ``members``: how many of the samples under attack are; they come first. ``gamma``: of RMIA.
    """
    seen = np.stack([one.seen["attacked"] for one in references])
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

    ``target``: what the network under attack says. ``references``: what the references say: as
    trained, or once they have unlearned (U-LiRA). ``seen``: bool of shape (n_references,
    n_samples).
    """

    def of_all(part: str, score: str) -> Scores:
        found = [view[part].score(score).numpy() for view in (target, *references)]
        return np.stack(found)

    margins = of_all("attacked", "margin")
    attacked, bystanders = (of_all(part, "log_confidence") for part in ("attacked", "bystanders"))
    return {
        "lira": lira(margins[0], margins[1:], seen),
        "rmia": rmia(attacked[0], attacked[1:], bystanders[0], bystanders[1:], gamma=gamma),
    }
