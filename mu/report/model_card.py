"""The README of an exported network: what it is, what it has forgotten, and how to load it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mu.compact import FP32
from mu.evaluation.catalogue import METRICS
from mu.report.markdown import escape, items, markdown_table, paragraphs
from mu.report.prose import describe_model
from mu.run_record import RunRecord
from mu.spec import Spec

SHOWN = ("UA", "RA", "TA", "MIA", "MIA_auc", "ASR", "gap", "depth", "target_acc")
OF_FILE = ("TA_fp32", "TA_exported")  # where it is not exact
SIZES = {  # with their digits
    "params": ("weights", ",.0f"),
    "macs": ("multiply-adds", ",.0f"),
    "file_mb": ("MB", ".3f"),
    "latency_ms": ("ms", ".3f"),
}
LOAD = {
    "torch": """import torch
model = torch.export.load("model.pt2").module()
logits = model(images)""",
    "safetensors": """from load_model import load  # the file beside this one
model = load(".")
logits = model(images)""",
    "onnx": """import onnxruntime
model = onnxruntime.InferenceSession("model.onnx")
(logits,) = model.run(None, {"images": images})""",
}
NEEDS = {
    "torch": "torch",
    "safetensors": "torch and safetensors (a Swin transformer: torchvision, too)",
    "onnx": "onnxruntime",
}


class Forgotten(NamedTuple):
    """What one run unlearned."""

    method: str
    request: str
    samples: int
    run_id: str


class Exported(NamedTuple):
    """What the card is about."""

    spec: Spec
    sparsity: float  # of the run's network, in percent
    source: RunRecord
    lineage: Sequence[tuple[str, str]]  # entries and run IDs, the oldest first
    forgotten: Sequence[Forgotten]
    metrics: Mapping[str, float]  # of the export
    format: str
    precision: str  # in which the file computes
    images: int  # on which the logits were compared
    timing: str  # how the latency was measured


def model_card(one: Exported) -> str:
    """The card, in Markdown."""
    network, data = one.spec.recipe.model, one.spec.data
    names = ", ".join(escape(name) for name in data.classes[:100])
    about = describe_model(one.spec, one.sparsity)
    return paragraphs(
        f"# {escape(network.arch)} on {escape(data.name)}",
        f"An image classifier: {escape(about)}. It was exported from run `{one.source.run_id}`.",
        "## How to load it",
        f"It needs {NEEDS[one.format]}, and no other package.",
        f"```python\n{LOAD[one.format]}\n```",
        f"`images` is float32 of shape (n, {network.in_channels}, {network.image_size}, "
        f"{network.image_size}): RGB or grey levels from 0 to 1, minus the mean, divided by the "
        "standard deviation of each channel. The largest logit is the class.",
        items({"mean": _list(data.mean), "standard deviation": _list(data.std)}),
        f"{len(data.classes)} classes, from 0: {names}{', ...' if len(data.classes) > 100 else ''}",
        "## Data and lineage",
        items(
            {
                "data": f"{escape(data.name)}, fingerprint `{data.fingerprint[:16]}`",
                "made by": " → ".join(f"{entry} `{run_id}`" for entry, run_id in one.lineage),
                "steps": ", ".join(map(escape, one.spec.history)) or "trained",
                "seed": str(one.spec.recipe.seed),
            }
        ),
        "## What was forgotten",
        _forgotten(one),
        "## Numbers",
        _numbers(one),
        _sizes(one),
        one.timing,
        "## Limits",
        _limits(one),
    )


def _list(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.6g}" for value in values)


def _forgotten(one: Exported) -> str:
    if not one.forgotten:
        return "Nothing: this network has unlearned no sample."
    rows = [
        [escape(f.method), f"`{f.request}`", f"{f.samples:,}", f"`{f.run_id}`"]
        for f in one.forgotten
    ]
    return markdown_table(["method", "request", "training samples", "run"], rows, "llrl")


def _numbers(one: Exported) -> str:
    known = {**one.source.metrics, **{n: v for n, v in one.metrics.items() if n in OF_FILE}}
    rows = [
        [name, f"{known[name]:.4g}", METRICS[name].unit, escape(METRICS[name].definition)]
        for name in (*SHOWN, *OF_FILE)
        if name in known
    ]
    if not rows:
        return "The run has logged none."
    return markdown_table(["name", "value", "unit", "meaning"], rows, "lrll")


def _sizes(one: Exported) -> str:
    """Before and after, where something was removed or could have been."""
    found, rows = one.metrics, []
    for name, (words, digits) in SIZES.items():
        after = found.get(f"{name}_compact", found.get(f"{name}_exported"))
        rows.append(
            [words, f"{found[name]:{digits}}", "" if after is None else f"{after:{digits}}"]
        )
    return markdown_table(["", "of the run", "of the file"], rows, "lrr")


def _limits(one: Exported) -> str:
    lines = [
        f"The file's logits differ from those of the run's network by at most "
        f"{one.metrics['max_difference']:.1e} on {one.images} test images ({one.precision}, "
        "CPU); its accuracy on other images than those of the data set was not measured.",
        "Zeros that are left in layers that are not sparse are stored and multiplied as any other "
        "weight.",
    ]
    if one.precision != FP32:
        lines.append(
            f"The file computes in {one.precision}: TA_exported is its accuracy, the other numbers "
            "are of the run's network in fp32. What the file itself has forgotten was not measured."
        )
    if one.forgotten:
        lines.append(
            "That samples were forgotten is measured, not proved: by the attacks above"
            + (", against an oracle that never saw them" if "gap" in one.source.metrics else "")
            + ". Other attacks may find more."
        )
    if poison := one.spec.data.poison:
        lines.append(f"Its training data was changed on purpose: {escape(poison.brief)}.")
    return "\n".join(f"- {line}" for line in lines)
