"""Membership attacks as a tracked run: train references one by one, attack, keep the results."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from entrypoints.found_originals import refuse_contradictions
from entrypoints.lira import LiraOptions
from entrypoints.lira_job import Job, make_job
from mu.checkpoints import Checkpoint
from mu.cli.handover import browse, write_json
from mu.cli.originals import DeviceOptions
from mu.errors import UserError
from mu.evaluation.attacks.rates import rates
from mu.evaluation.references import (
    Reference,
    View,
    attack,
    make_reference,
    view_arrays,
)
from mu.report import attack_plots, console, prose
from mu.runs import Run
from mu.tracking import (
    Recorder,
    Stopped,
    Store,
    connect,
    fetch_job,
    keep_job,
    remove_progress,
    resumable_run,
    rounded,
    tracked,
)
from mu.tracking.artifacts import download

if TYPE_CHECKING:
    pass

FOLDER = "references"
FEW_REFERENCES = 8
# Endings of the numbers of each model.
ENDINGS = {"original": "_before", "unlearned": "", "oracle": "_oracle"}


def main(options: LiraOptions, device: DeviceOptions) -> None:
    """The attack on an unlearn run; see :func:`entrypoints.lira.lira`."""
    device.check()
    store = connect()
    job = make_job(store, options, device)
    if options.unlearn_run_id == "auto":
        print(f"unlearned: run {job.run_id}, the newest that is no oracle")
    _run(store, job)


def go_on(options: LiraOptions, device: Mapping[str, Any]) -> None:
    """The attack of an interrupted run, in that run; its references are not trained again."""
    assert options.resume_run_id is not None
    DeviceOptions.of(device).check()
    store = connect()
    run = resumable_run(store, options.resume_run_id, "lira")
    kept = fetch_job(store, run)
    defaults = LiraOptions().as_dict()
    said = {n: v for n, v in options.as_dict().items() if v != defaults[n]}
    said |= {n: v for n, v in device.items() if n == "precision"}
    places = ("resume_run_id", "data_dir")
    said = {n: v for n, v in said.items() if n not in places}
    refuse_contradictions(options.resume_run_id, kept, said)
    precision = kept.pop("precision")
    asked = LiraOptions.of({**kept, "data_dir": options.data_dir or kept["data_dir"]})
    where = DeviceOptions.of({**device, "precision": precision})
    _run(store, make_job(store, asked, where, resume=run))


# --- the run ------------------------------------------------------------------------------


def _run(store: Store, job: Job) -> None:
    """Do a job in a run of its own, or in the interrupted one that it goes on with."""
    title, resume = f"lira {job.name} {job.upstream.forget}"[:20], job.resume
    resumed = None if resume is None else resume.info.run_id
    with tracked(store, "lira", title, resume=resumed) as recorder:
        # At once: it is needed to go on, if this process is killed.
        print(f"lira run {recorder.run_id}", file=sys.stderr, flush=True)
        if resume is None:
            keep_job(recorder, job.as_dict())
        recorder.params(job.params())
        recorder.tags(_tags(job))
        with _said_how_to_go_on(recorder):
            numbers = _counted(job.options.references)
            references = [_reference(recorder, job, one) for one in numbers]
            rows = _judge(recorder, job, references)
    remove_progress(recorder)
    _print(store, job, recorder.run_id, rows)


def _tags(job: Job) -> dict[str, str]:
    upstream = job.upstream
    tags = {
        "mu.upstream": job.run_id,
        "mu.data": upstream.dataset.fingerprint[:16],
        "mu.forget": upstream.split.fingerprint[:16],
    }
    return tags | ({"mu.oracle": job.oracle_run_id} if job.oracle_run_id else {})


@contextmanager
def _said_how_to_go_on(recorder: Recorder) -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, Stopped):
        text = f"to go on with the references that are kept: -P resume_run_id={recorder.run_id}"
        print(text, file=sys.stderr, flush=True)
        raise


# --- references ---------------------------------------------------------------------------


AT_ONCE = 0.5  # seconds within which a reference can only have been a kept one


def _counted(count: int) -> Iterator[int]:
    """The numbers of the references; says after each how fast the new ones go."""
    trained, spent = 0, 0.0
    for number in range(count):
        start = time.monotonic()
        yield number
        passed = time.monotonic() - start
        text = f"reference {number + 1} of {count}"
        if passed > AT_ONCE:
            trained, spent = trained + 1, spent + passed
        if trained:
            each = spent / trained
            text += f": {60 / each:.1f} a minute, {each * (count - number - 1):.0f} s to go"
        print(text, file=sys.stderr, flush=True)


def _file(number: int) -> str:
    return f"{FOLDER}/{number:03d}.npz"


def _reference(recorder: Recorder, job: Job, number: int) -> Reference:
    """Reference ``number``: the one that an interrupted process kept, or a new one, kept now."""
    if job.resume is not None and (kept := _kept(recorder, job, number)):
        return kept
    run = Run(**job.upstream.device.as_dict(), seed=job.challenge.seed_of(number))
    with run.stopwatch() as seconds:
        found = make_reference(
            job.upstream.checkpoint,
            job.challenge,
            number,
            run,
            job.forget if job.unlearns else None,
        )
    recorder.metrics({"reference_s": seconds[0]}, number)
    _keep(recorder, number, found.to_bytes())
    return found


def _kept(recorder: Recorder, job: Job, number: int) -> Reference | None:
    """The reference that is among the run's artifacts; None where it is missing or damaged."""
    assert job.resume is not None
    with tempfile.TemporaryDirectory(prefix="mu-") as scratch:
        try:
            file = download(recorder.store, job.resume, _file(number), Path(scratch))
        except UserError:
            return None
        content = file.read_bytes()
    try:
        return Reference.from_bytes(content, job.challenge, number, unlearned=job.unlearns)
    except ValueError as error:
        print(f"{_file(number)} is trained again: {error}", file=sys.stderr, flush=True)
        return None


def _keep(recorder: Recorder, number: int, content: bytes) -> None:
    """Put a reference among the run's artifacts; at the run's end, if the store fails now."""
    with tempfile.TemporaryDirectory(prefix="mu-") as scratch:
        path = Path(scratch) / Path(_file(number)).name
        path.write_bytes(content)
        try:
            recorder.store.client.log_artifact(recorder.run_id, str(path), FOLDER)
        except Exception as error:
            recorder.warn("references are kept only when the run ends", error)
            later = recorder.folder / _file(number)
            later.parent.mkdir(exist_ok=True)
            later.write_bytes(content)


# --- the attacks --------------------------------------------------------------------------


def _judge(
    recorder: Recorder, job: Job, references: list[Reference]
) -> dict[str, Mapping[str, float]]:
    """Attack every model, and write everything that the run keeps; numbers by model."""
    views = {name: _view(job, one) for name, one in job.models.items()}
    scores = _scores(job, views, references)
    rows: dict[str, Mapping[str, float]] = {name: _numbers(job, scores, name) for name in views}
    metrics = {f"{n}{ENDINGS[name]}": v for name, row in rows.items() for n, v in row.items()}
    recorder.metrics(metrics)
    folder = recorder.folder
    write_json(folder / "metrics.json", metrics)
    write_json(folder / "config.json", {**job.params(), **job.upstream.device.as_dict()})
    _keep_models(folder, job, views)
    attack_plots.plot_roc(scores, folder / "plots" / "roc.png")
    recorder.describe(
        attack_plots.describe_attacks(job.name, _original(job), job.sizes(), rows, job.links())
    )
    return rows


def _view(job: Job, checkpoint: Checkpoint) -> View:
    return View.of(checkpoint.model, job.challenge, Run(**job.upstream.device.as_dict()))


def _scores(
    job: Job, views: Mapping[str, View], references: list[Reference]
) -> dict[str, dict[str, attack_plots.Pair]]:
    """Scores of members and of non-members, by attack and model."""
    seen = np.stack([one.seen for one in references])
    scores: dict[str, dict[str, attack_plots.Pair]] = {"lira": {}, "rmia": {}}
    trained = [one.trained for one in references]
    cut, gamma = len(job.challenge.members), job.options.gamma
    for name, view in views.items():
        for kind, found in attack(view, trained, seen, gamma=gamma).items():
            scores[kind][name] = (found[:cut], found[cut:])
    unlearned = [one.unlearned for one in references if one.unlearned is not None]
    if unlearned:
        found = attack(views["unlearned"], unlearned, seen, gamma=gamma)["lira"]
        scores["ulira"] = {"unlearned": (found[:cut], found[cut:])}
    return scores


def _numbers(
    job: Job, scores: Mapping[str, Mapping[str, attack_plots.Pair]], model: str
) -> dict[str, float]:
    """What the attacks find of a model: ``lira_auc``, ``lira_auc_lo``, ..."""
    return {
        f"{kind}_{name}": rounded(value)
        for kind, models in scores.items()
        if model in models
        for name, value in rates(*models[model], seed=job.options.seed).items()
    }


def _keep_models(folder: Path, job: Job, views: Mapping[str, View]) -> None:
    """What the judged models say, and of which samples: with the references, all of the attack."""
    challenge, first = job.challenge, len(job.upstream.dataset.train)
    arrays: dict[str, Any] = {
        "forget": challenge.members,
        "test": challenge.non_members - first,
        "population": challenge.population,
        "labels_attacked": challenge.attacked.labels.numpy(),
        "labels_bystanders": challenge.bystanders.labels.numpy(),
    }
    for name, view in views.items():
        arrays |= view_arrays(name, view)
    (folder / FOLDER).mkdir(exist_ok=True)
    np.savez_compressed(folder / FOLDER / "models.npz", **arrays)


def _original(job: Job) -> str:
    checkpoint = job.upstream.checkpoint
    return prose.describe_model(checkpoint.spec, checkpoint.mask.sparsity)


def _print(store: Store, job: Job, run_id: str, rows: Mapping[str, Mapping[str, float]]) -> None:
    """What a lira run says when it is done."""
    sizes = job.sizes()
    attack_plots.print_attacks(
        f"attacks on {job.name} on {_original(job)}: {sizes['members']} forgotten samples against "
        f"{sizes['non_members']} test images, {sizes['references']} references",
        rows,
    )
    if sizes["references"] < FEW_REFERENCES:
        console.print_notes(
            [
                f"{sizes['references']} references: deviations are estimated from few values, so "
                f"LiRA finds less than it could; take {FEW_REFERENCES} or more"
            ]
        )
    if "oracle" not in rows and job.unlearns:
        console.print_notes(["no oracle to compare with; make one: unlearn, method=retrain"])
    console.print_lines({**job.links(), "attacks": run_id, "browse": browse(store, run_id=run_id)})
