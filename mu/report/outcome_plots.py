"""Plots of what a model does to single samples: scores, ROC, confusion, classes, calibration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from mu.evaluation.attacks.rates import Curve
from mu.evaluation.by_class import confusion, row_shares, whole_test
from mu.evaluation.calibration import ece, reliability
from mu.evaluation.case import Case, Model
from mu.evaluation.membership import SCORES, unseen_of_same_classes
from mu.report.plots import COLOURS, drawn, grouped_bars, shares

MOST_CLASSES = 100  # of which a confusion matrix can still be read
ROLES = {"original": "#999999", "model": COLOURS["forget"], "oracle": COLOURS["retain"]}


def plot_all(case: Case, folder: Path) -> None:
    """All plots of a model, beside its original and its oracle where they are known."""
    plot_scores(case, folder / "scores.png")
    plot_roc(case, folder / "roc.png")
    plot_classes(case, folder / "classes.png")
    plot_calibration(case, folder / "calibration.png")
    if case.model.outputs.test.classes <= MOST_CLASSES:
        plot_confusion(case, folder / "confusion.png")


def plot_scores(case: Case, path: Path) -> None:
    """Distribution of three scores over members, non-members and forgotten samples."""
    outputs = case.model.outputs
    parts = {"retain": "member (retain)", "test": "non-member (test)", "forget": "forgotten"}
    with drawn(path, 10, 3.2, 1, 3) as panels:
        for axes, name in zip(panels, ("confidence", "entropy", "m_entropy"), strict=True):
            scores = {part: SCORES[name](getattr(outputs, part)).numpy() for part in parts}
            low = min(float(np.quantile(one, 0.005)) for one in scores.values())
            bins = np.linspace(low, max(float(one.max()) for one in scores.values()) + 1e-9, 41)
            for part, label in parts.items():
                shares(axes, scores[part], bins, label, COLOURS[part])
            axes.set(title=name, yscale="symlog", xlabel="higher: more like a member")
        panels[0].set_ylabel("% of the samples")
        panels[0].legend(fontsize=8)


def plot_roc(case: Case, path: Path) -> None:
    """ROC of the confidence for the forget set against unseen images of its classes, log axes."""
    lowest, score = 0.5, SCORES["confidence"]
    with drawn(path, 4.6, 4.2) as axes:
        for role, model in _models(case).items():
            unseen = unseen_of_same_classes(model.outputs)
            if not len(unseen):
                continue
            curve = Curve.of(score(model.outputs.forget).numpy(), score(unseen).numpy())
            lowest = min(lowest, 0.5 / len(unseen))
            label = f"{role}, AUC {float(curve.auc()):.3f}"
            axes.plot(*curve.points(), label=label, color=ROLES[role], drawstyle="steps-post")
        grid = np.geomspace(lowest, 1, 50)
        axes.plot(grid, grid, color="#bbbbbb", lw=0.8, ls="--", label="a guess")
        axes.set(xscale="log", yscale="log", xlim=(grid[0], 1), ylim=(grid[0], 1))
        axes.set(xlabel="false positives (unseen images)", ylabel="true positives (forget set)")
        axes.set_title("telling forgotten from unseen by confidence", fontsize=10)
        axes.legend(fontsize=8)


def plot_classes(case: Case, path: Path) -> None:
    """Accuracy on the test images of each class; 0 where there are none."""
    models = _models(case)
    count = case.model.outputs.test.classes
    series = {
        role: np.diag(row_shares(confusion(whole_test(model.outputs))))
        for role, model in models.items()
    }
    with drawn(path, max(6.0, 0.45 * count), 3.2) as axes:
        grouped_bars(axes, series, [ROLES[role] for role in models], numbers=False)
        _name_classes(axes, case.split.dataset.classes, count)
        axes.set(ylim=(0, 105), ylabel="%", title="accuracy on test images by class")


def plot_confusion(case: Case, path: Path) -> None:
    """Confusion on test images, of the original where it is known and of the model."""
    shown = {role: model for role, model in _models(case).items() if role != "oracle"}
    count = case.model.outputs.test.classes
    with drawn(path, 4.6 * len(shown), 4.4, 1, len(shown), squeeze=False) as (panels,):
        for axes, (role, model) in zip(panels, shown.items(), strict=True):
            shown_shares = row_shares(confusion(whole_test(model.outputs)))
            image = axes.imshow(shown_shares, vmin=0, vmax=100, cmap="Blues")
            _name_classes(axes, case.split.dataset.classes, count)
            axes.set(title=role, xlabel="predicted", ylabel="true class", yticks=axes.get_xticks())
        panels[0].figure.colorbar(image, ax=panels, label="% of the true class", shrink=0.8)


def plot_calibration(case: Case, path: Path) -> None:
    """How often predictions are right, over how sure they are, on test images."""
    with drawn(path, 4.6, 4.2) as axes:
        axes.plot([0, 100], [0, 100], color="#bbbbbb", lw=0.8, ls="--")
        for role, model in _models(case).items():
            counts, confidence, right = reliability(model.outputs.test)
            filled = counts > 0
            label = f"{role}, ECE {ece(model.outputs.test):.1f} %"
            axes.plot(
                100 * confidence[filled], 100 * right[filled], marker="o", ms=3, label=label,
                color=ROLES[role],
            )  # fmt: skip
        axes.set(xlabel="confidence, %", ylabel="right, %", title="calibration on test images")
        axes.legend(fontsize=8)


def _models(case: Case) -> dict[str, Model]:
    models = {"original": case.original, "model": case.model, "oracle": case.oracle}
    return {role: model for role, model in models.items() if model is not None}


def _name_classes(axes: Axes, names: tuple[str, ...], count: int) -> None:
    if count <= 20:
        axes.set_xticks(range(count), names[:count], rotation=45, ha="right", fontsize=7)
