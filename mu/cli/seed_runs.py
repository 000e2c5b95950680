"""Runs that may be put together: finished unlearn runs that differ in nothing but their seeds."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mu.errors import UserError
from mu.report.comparison.records import SeedRun, Seeds, same_setting

if TYPE_CHECKING:
    from mu.tracking import Store

FEWEST = 2
SHOWN = 4  # of the settings in which runs differ

# Parameters that are no settings of the method: what MLflow's launcher logs as it was typed, and
# what the checkpoint's spec says better. Those that start with `prune_` are the original's.
NO_SETTINGS = {
    "method", "forget", "seed", "oracle_run_id", "resume_run_id", "device", "devices", "precision",
    "workers", "dataset", "data_dir", "image_size", "arch", "stem", "mask_run_id",
}  # fmt: skip
PLAIN = {"dataset", "image_size", "arch", "stem"}  # of an original's settings: without `prune_`
SEEDS_OF_ORIGINAL = {"seed", "split_seed"}


def check_ids(run_ids: Sequence[str]) -> None:
    """Refuse a run that is named twice."""
    for run_id in run_ids:
        if run_ids.count(run_id) > 1:
            raise UserError(f"run {run_id} is given twice; give each run once")


def check_count(run_ids: Sequence[str], where: str) -> None:
    """Refuse fewer runs than have a spread; ``where`` names the option."""
    if len(run_ids) < FEWEST:
        raise UserError(
            f"give at least {FEWEST} run IDs{where}, of runs that differ in their seeds; "
            f"{len(run_ids)} is too few for a spread"
        )


def fetch_seed_run(store: Store, run_id: str) -> SeedRun:
    """What is compared of a run.

    Raises
    ------
    UserError
        If it is no finished unlearn run, or what it handed on is damaged.
    """
    from mu.checkpoints import SPEC_FILE, Spec
    from mu.methods import check_method
    from mu.tracking.artifacts import UNLEARNED, download, finished_run
    from mu.tracking.view import run_url

    entry = store.run(run_id).data.tags.get("mu.entry", "unknown")
    if entry not in UNLEARNED:
        kinds = " or ".join(UNLEARNED)
        raise UserError(f"run {run_id} is of the entry {entry}; give the IDs of runs of {kinds}")
    run = finished_run(store, run_id)
    params, tags = run.data.params, run.data.tags
    if lacking := sorted({"method", "forget", "seed"} - params.keys()):
        raise UserError(f"run {run_id} has no parameter {lacking[0]}; it cannot be compared")
    with tempfile.TemporaryDirectory(prefix="mu-") as scratch:
        text = download(store, run, SPEC_FILE, Path(scratch)).read_bytes()
    spec, _ = Spec.from_json(text.decode("utf-8", "replace"))
    forget = params["forget"]
    if forget.startswith("indices:"):  # a file may be elsewhere, or have changed
        forget = f"indices of fingerprint {tags.get('mu.forget')}"
    poison = spec.data.poison.options() if spec.data.poison else {}
    original = (
        {
            name if name in PLAIN else f"prune_{name}": value
            for name, value in spec.settings().items()
            if name not in SEEDS_OF_ORIGINAL | {"profile"}  # which only sets other settings
        }
        | {
            "data": spec.data.fingerprint[:16],
            "mean": spec.data.mean,
            "std": spec.data.std,
            "given mask": spec.recipe.given_mask is not None,
            "history": spec.history[:-1],  # the last is this method
        }
        | poison
    )
    return SeedRun(
        run_id,
        check_method(params["method"]),
        {
            name: value
            for name, value in params.items()
            if name not in NO_SETTINGS | poison.keys() and not name.startswith("prune_")
        },
        original,
        forget,
        Seeds(spec.recipe.split.split_seed, spec.recipe.seed, _whole(run_id, params["seed"])),
        dict(run.data.metrics),
        dict(tags),
        name=run.info.run_name or "",
        url=run_url(store.uri, run.info.experiment_id, run_id),
        started=run.info.start_time or 0,
    )


def _whole(run_id: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UserError(f"run {run_id} has the seed {text!r}, which is no number") from None


# --- what they may differ in --------------------------------------------------------------


def check_alike(runs: Sequence[SeedRun]) -> None:
    """Refuse runs of one group that differ in anything but seeds, or not even in those.

    Raises
    ------
    UserError
        If they do; the line names the first two, and in what.
    """
    first = runs[0]
    for run in runs[1:]:
        mine, yours = (
            {"method": one.method, **_fixed(one), **one.settings} for one in (first, run)
        )
        if different := _differences(mine, yours):
            raise UserError(
                f"runs {first.run_id} and {run.run_id} differ in {different}; give runs that "
                "differ in their seeds alone"
            )
    seen: dict[Seeds, str] = {}
    for run in runs:
        if run.seeds in seen:
            raise UserError(
                f"runs {seen[run.seeds]} and {run.run_id} have the same seeds ({run.seeds}), so "
                "one says nothing beside the other; leave one out"
            )
        seen[run.seeds] = run.run_id
    _check_forget_sets(runs)


def matched(ours: Sequence[SeedRun], theirs: Sequence[SeedRun]) -> list[SeedRun]:
    """The other group in the order of ours, by their seeds.

    Raises
    ------
    UserError
        If data, original or forget set differ between the groups, or seeds have no match.
    """
    if different := _differences(_fixed(ours[0]), _fixed(theirs[0])):
        raise UserError(
            f"runs {ours[0].run_id} and {theirs[0].run_id} differ in {different}; methods that are "
            "compared must forget the same of the same kind of original"
        )
    here, there = ({run.seeds: run for run in group} for group in (ours, theirs))
    _check_matched(here, there, "among the runs of --against")
    _check_matched(there, here, "among the first runs")
    _check_forget_sets([*ours, *theirs])
    return [there[run.seeds] for run in ours]


def _check_matched(
    here: Mapping[Seeds, SeedRun], there: Mapping[Seeds, SeedRun], where: str
) -> None:
    for seeds, run in here.items():
        if seeds not in there:
            raise UserError(
                f"run {run.run_id} (seeds: {seeds}) has no match {where}; give both methods' runs "
                "over the same seeds"
            )


def _fixed(run: SeedRun) -> dict[str, Any]:
    return {"forget": run.forget, **run.original}


def _check_forget_sets(runs: Sequence[SeedRun]) -> None:
    """Of one split, the same request must have meant the same samples."""
    sets: dict[int, SeedRun] = {}
    for run in runs:
        first = sets.setdefault(run.seeds.split, run)
        if first.tags.get("mu.forget") != run.tags.get("mu.forget"):
            raise UserError(
                f"runs {first.run_id} and {run.run_id} forget other samples, though of the same "
                f"split and both by forget={run.forget}; give runs of the same forget set"
            )


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Settings that are not the same, with both values, in words; empty if there are none."""
    names = [*one, *(name for name in other if name not in one)]
    values = [(name, one.get(name, "not set"), other.get(name, "not set")) for name in names]
    found = [(name, a, b) for name, a, b in values if not same_setting(a, b)]
    if found and found[0][0] == "method":
        found = found[:1]  # other methods have other settings
    words = [f"{name} ({a} and {b})" for name, a, b in found[:SHOWN]]
    more = len(found) - SHOWN
    return ", ".join(words) + (f" and {more} more" if more > 0 else "")
