"""Descriptions in prose for a run's page (Markdown)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mu.checkpoints import Checkpoint, Spec
from mu.data.forget_split import ForgetSplit
from mu.data.store.card import Card
from mu.evaluation.catalogue import METRICS, metric
from mu.evaluation.controls import LOGIT_MASK
from mu.evaluation.gap import GAP_METRICS
from mu.foreign.originals import Imported
from mu.recipes.recipe import Stage
from mu.report.alarms import Alarm
from mu.report.console import OF_PLANTED, Rows, numbers
from mu.report.markdown import escape, items, links_list, markdown_table, paragraphs
from mu.report.metrics import main_names
from mu.report.verdict import Verdict
from mu.runs import Run

MOST_CLASSES = 100  # of a description, which MLflow limits to 8,000 letters
EXPLAINED = ("UA", "RA", "TA", "MIA", "gap", "RTE")


def describe_model(spec: Spec, sparsity: float) -> str:
    """The original in a phrase: ``a resnet20 on cifar10, 95.0 % sparse``."""
    kind = f"{sparsity:.1f} % sparse" if sparsity else "dense"
    poison = spec.data.poison
    attacked = f", poisoned ({poison.brief})" if poison else ""
    return f"a {spec.recipe.model.arch} on {spec.data.name}, {kind}{attacked}"


def rounds_table(run: Run, stages: Sequence[Stage]) -> list[dict[str, float]]:
    """What was reached after each round: ``round``, ``sparsity``, ``TA``, ``VA`` (percent)."""
    sparsity, test = (dict(run.history(name)) for name in ("sparsity", "TA"))
    val = dict(run.history("VA"))
    bounds = [stage.first_step + stage.start_epoch - 1 for stage in stages[1:]]
    rows = []
    for stage, last in zip(stages, [*bounds, max(val, default=0)], strict=True):
        row = {"round": float(stage.round), "sparsity": sparsity.get(stage.round, 0.0)}
        row |= {"TA": test[stage.round]} if stage.round in test else {}
        row |= {"VA": val[last]} if last in val else {}
        rows.append(row)
    return rows


def describe_prune(
    checkpoint: Checkpoint,
    metrics: Mapping[str, float],
    rows: Sequence[Mapping[str, float]],
    run_id: str,
) -> str:
    """What a prune run holds and how to go on; ``rows`` as of :func:`rounds_table`."""
    recipe, table = checkpoint.spec.recipe, ""
    if len(rows) > 1:
        names = [name for name in ("sparsity", "TA", "VA") if name in rows[0]]
        rounds = [[f"{row['round']:.0f}", *(f"{row[name]:.2f}" for name in names)] for row in rows]
        table = markdown_table(["round", *names], rounds, "l" + "r" * len(names))
    return paragraphs(
        f"**Original**: {describe_model(checkpoint.spec, checkpoint.mask.sparsity)}, trained for "
        f"{recipe.training.epochs} epochs (profile `{recipe.profile}`). {_how(checkpoint)}",
        _what_it_gives(metrics),
        table,
        *_how_to_go_on(run_id, checkpoint.spec),
    )


def describe_import(
    imported: Imported, metrics: Mapping[str, float], warnings: Sequence[str], run_id: str
) -> str:
    """What an imported original is, what was taken from the file or assumed, and how to go on."""
    checkpoint = imported.checkpoint
    rows = [[escape(text) for text in one] for one in imported.assumptions]
    notes = [escape(note) for note in (*warnings, *imported.notes)]
    return paragraphs(
        f"**Original**: {describe_model(checkpoint.spec, checkpoint.mask.sparsity)}, imported.",
        _what_it_gives(metrics),
        "\n".join([items(imported.taken), *(f"- {note}" for note in notes)]),
        "Retrain repeats this recipe. What is assumed was not given, and may differ from how the "
        "network was trained.",
        markdown_table(["setting", "value", "source"], rows, "lll"),
        *_how_to_go_on(run_id, checkpoint.spec),
    )


def _what_it_gives(metrics: Mapping[str, float]) -> str:
    return (
        f"It gives {metrics['train_acc']:.2f} % of its training images their label and "
        f"{metrics['TA']:.2f} % of the test images (TA)."
    )


def forget_first(spec: Spec) -> str:
    """What to try first on an original: what was planted in its data, if anything."""
    return spec.data.poison.forget if spec.data.poison else "class:0"


def _how_to_go_on(run_id: str, spec: Spec) -> tuple[str, str]:
    return (
        "Make it forget: `mlflow run . -e unlearn "
        f"-P prune_run_id={run_id} -P forget={forget_first(spec)}`",
        f"Fetch its mask: `mlflow artifacts download -r {run_id} -a mask -d DIR`, or "
        f'`mu.load_mask("{run_id}")`',
    )


def _how(checkpoint: Checkpoint) -> str:
    """How its mask came about, in a sentence."""
    recipe, mask = checkpoint.spec.recipe, checkpoint.mask
    kept = f"{mask.kept:,} of {mask.total:,} prunable weights"
    if mask.is_dense:
        return "It is dense."
    if recipe.given_mask:
        return f"It was trained under a mask that was given, which keeps {kept}."
    pruner = recipe.make_pruner()
    found = f"The pruner `{recipe.pruner}` kept {kept}"
    if pruner.rounds > 1:
        found += f", in {pruner.rounds} rounds"
    if pruner.when == "initial":
        return f"{found}, before training."
    start = {
        "lt": "the initial weights",
        "pt": "the trained weights",
        "rewind_lt": f"the weights of epoch {recipe.rewinding.epoch(recipe.training.epochs)}",
    }[recipe.rewinding.rewind]
    return f"{found}; training then went on under the mask from {start}."


def describe_unlearn(
    method: str,
    forget: str,
    split: ForgetSplit,
    original: str,
    metrics: Mapping[str, float],
    links: Mapping[str, str],
    notes: Sequence[str] = (),
    judged: Verdict | None = None,
) -> str:
    """What an unlearn run did, its numbers, and its lineage.

    ``original``: in a phrase. ``links``: run IDs by role: ``original``, and ``oracle`` where there
    is one.
    """
    planted = [name for name in OF_PLANTED if name in metrics]
    names = [*GAP_METRICS, *planted]
    rows = {"original": {name: metrics[f"{name}_before"] for name in names}, "unlearned": metrics}
    columns, texts, layout = numbers(names, rows)
    if "gap" in metrics:
        gaps = [f"{metrics[f'gap_{name}']:.2f}" for name in GAP_METRICS]
        texts.append(["gap", *gaps, *("" for _ in planted)])
        judgement = f"Mean gap to the oracle: **{gap_in_words(metrics)}**.{_controls(metrics)}"
    else:
        judgement = without_oracle(method, "`{}`")
    return paragraphs(
        what_was_done(f"**{method}**", f"`{forget}`", split, original, metrics["RTE"]),
        markdown_table(columns, texts, layout),
        judgement,
        f"Verdict: {judged.text}." if judged else "",
        *(f"> {note}" for note in notes),
        links_list(links),
        items({name: METRICS[name].definition for name in (*EXPLAINED, *planted)}),
    )


def what_was_done(
    method: str, forget: str, split: ForgetSplit, original: str, seconds: float
) -> str:
    """What was asked of a method, in a sentence; ``method`` and ``forget`` may be marked up."""
    whole = len(split.forget) + len(split.retain)
    return (
        f"{method} made {original}, forget {len(split.forget):,} of {whole:,} training samples "
        f"({forget}) in {seconds:.2f} s."
    )


def without_oracle(method: str, code: str = "{}") -> str:
    """Why a result is not judged; ``code``: how a command is marked up."""
    if method == "retrain":
        return "This is an oracle: other methods are judged against it."
    command = code.format("-P oracle_run_id=train")
    return f"No oracle to compare with: run again with {command}."


def _controls(metrics: Mapping[str, float]) -> str:
    """The gaps of the controls, where they are known, in a sentence."""
    words = {
        "gap_before": "the original, which unlearned nothing, has {:.2f}",
        f"gap_{LOGIT_MASK}": "hiding the class's output alone has {:.2f}",
    }
    known = [text.format(metrics[name]) for name, text in words.items() if name in metrics]
    return f" For comparison: {'; '.join(known)}." if known else ""


def warned(found: Iterable[Alarm]) -> list[str]:
    """Warnings as notes of a description."""
    return [f"**Warning** ({one.rule}): {one.text}" for one in found]


def gap_in_words(metrics: Mapping[str, float]) -> str:
    """The gap and, where it is known, its interval."""
    text = f"{metrics['gap']:.2f} points"
    if "gap_lo" not in metrics:
        return text
    return f"{text}, {metrics['gap_lo']:.2f} to {metrics['gap_hi']:.2f} with other samples"


def define_metrics(found: Mapping[str, float]) -> str:
    """The definition of each number, which way is better, and where it comes from."""
    rows = [
        (one.name, one.better, one.definition, one.source) for one in map(metric, main_names(found))
    ]
    return markdown_table(("", "better", "is", "source"), rows, "llll")


def describe_images(card: Card, digest: str) -> str:
    """What a file of images with this sha256 (hex) holds."""
    rows = [
        (name, *(f"{card.counts[part][label]:,}" for part in ("train", "test")))
        for label, name in enumerate(card.classes[:MOST_CLASSES])
    ]
    if (more := len(card.classes) - len(rows)) > 0:
        rows.append((f"and {more} more", "", ""))
    return paragraphs(
        f"**Images** of {card.source}: {card.size('train'):,} to train on, "
        f"{card.size('test'):,} to test, {len(card.classes)} classes, from "
        f"{card.smallest[0]}x{card.smallest[1]} to {card.largest[0]}x{card.largest[1]} pixels.",
        f"sha256 `{digest}`",
        markdown_table(("class", "train", "test"), rows, "lrr"),
    )


def table_of(names: Sequence[str], rows: Rows) -> str:
    """A Markdown table of :func:`~mu.report.console.numbers`."""
    return markdown_table(*numbers(names, rows))
