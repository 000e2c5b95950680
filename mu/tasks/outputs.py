"""What runs keep and print, written in one way."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from mu import tags
from mu.checkpoints import Checkpoint
from mu.data.images import ImageDataset
from mu.errors import UserError
from mu.readers.paths import checked_path
from mu.report import plots, prose
from mu.report.console import say
from mu.rounding import rounded
from mu.tracking import Recorder, fingerprint_tag, fingerprint_tags
from mu.tracking.serving import save_checkpoint


def log_data(recorder: Recorder, dataset: ImageDataset) -> None:
    """Have the run's page show which data it used."""
    profile = {
        "train": len(dataset.train),
        "test": len(dataset.test),
        "shape": list(dataset.shape),
        "classes": list(dataset.classes),
        "poisoned": len(dataset.poisoned),
    }
    place = dataset.data_dir or dataset.name
    recorder.dataset(dataset.name, fingerprint_tag(dataset.fingerprint), place, profile)
    if manifest := dataset.manifest:
        log_files(recorder, manifest.summary, manifest.left_out)
        everything = {"train": range(len(dataset.train)), "test": range(len(dataset.test))}
        write_csv(recorder.folder / "data" / "manifest.csv", dataset.file_rows(everything))


def log_files(recorder: Recorder, summary: str, left_out: Mapping[str, Sequence[str]]) -> None:
    """Say which files were read, in the terminal and on the run's page, and which were not."""
    _print_once(f"data: {summary}")
    recorder.remark(f"Data: {summary}")
    left = [{"file": one, "why": why} for why, all_ in left_out.items() for one in all_]
    if left:
        write_csv(recorder.folder / "data" / "left_out.csv", left)


@cache
def _print_once(line: str) -> None:
    """Print a line, if this process has not printed it before."""
    say(line)


def about(checkpoint: Checkpoint) -> str:
    """What a network is, in words."""
    return prose.describe_model(checkpoint.spec, checkpoint.mask.sparsity)


def save_network(
    recorder: Recorder,
    checkpoint: Checkpoint,
    metrics: Mapping[str, float],
    text: str,
    more_tags: Mapping[str, str | None],
) -> None:
    """Write a network that later runs start from, and what its run's page shows.

    ``text`` describes the run, in Markdown; ``more_tags`` are set in addition to fingerprints.
    """
    digests = save_checkpoint(recorder, checkpoint)
    data = fingerprint_tag(checkpoint.spec.data.fingerprint)
    recorder.tags({**fingerprint_tags(digests), tags.DATA: data, **more_tags})
    plots.plot_layers(checkpoint.mask, recorder.folder / "mask" / "layers.png")
    keep_results(recorder, {n: rounded(v) for n, v in metrics.items()}, text)


def keep_results(
    recorder: Recorder, metrics: Mapping[str, Any], text: str, definitions: str = ""
) -> None:
    """Write numbers, and the description of a run with what does not fit into it."""
    write_json(recorder.folder / "metrics.json", metrics)
    recorder.describe(text)
    summary = f"{text}\n{definitions}" if definitions else text
    write_text(recorder.folder / "report" / "summary.md", summary)


def links(original: str, unlearned: str, oracle: str | None) -> dict[str, str]:
    """Run IDs by role."""
    found = {"original": original, "unlearned": unlearned}
    return found | ({"oracle": oracle} if oracle else {})


def check_out(out: str | None) -> None:
    """UserError if the folder for what a run hands over holds anything already, or is none."""
    if out is None:
        return
    path = checked_path("out", out)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserError(f"out={out} is there already and is not empty; name a new folder")


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a mapping as JSON."""
    path.write_text(json.dumps(values, indent=1, default=str) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text, with its folder."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]], names: Sequence[str] = ()) -> None:
    """Write rows as CSV, with their folder; columns: ``names``, or all as they first occur."""
    path.parent.mkdir(exist_ok=True)
    # Names of files may be no UTF-8; they are written as they are.
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.DictWriter(file, names or list(dict.fromkeys(n for row in rows for n in row)))
        writer.writeheader()
        writer.writerows(rows)
