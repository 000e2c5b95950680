"""Deletion requests in a row: how far the model drifts from one that was trained without them.

    python -m benchmarks.requests_in_a_row --count 100                  about 40 minutes
    python -m benchmarks.requests_in_a_row --count 30 --policy true     with the trigger

Each request, of ten records of the digits, is answered by the entry ``erase``, on the model that
the one before it left. After some of them the model is held against a fresh oracle, trained
without all records forgotten so far, on these: gap, records that are still known, the worst one,
test accuracy, and seconds that the unlearning took in all. Beside it what doing nothing gives.

The method is ``ft`` by the paper's settings: by mu's own rule most methods leave a network as it is
that does not show ten records of the digits at all. By default the policy lets any number of
requests pass, so that the drift shows. With ``--policy true`` it is the default one, which retrains
after ten requests or when the gap grows.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mu.cli.requests import DeviceOptions, Request
from mu.data.forget_split import ForgetSplit
from mu.data.images import Indices
from mu.erasure.effect import assess
from mu.erasure.outputs import Evidence
from mu.erasure.policy import Policy
from mu.errors import UserError
from mu.evaluation.unlearning import predict_split
from mu.runs import Run
from mu.tasks.erase.run import Erased, erase
from mu.tasks.perform import train_oracle
from mu.tasks.problem import TrackedModel, UnlearningProblem
from mu.tasks.prune import prune
from mu.tasks.resolve import data_of, tracked_model
from mu.tracking import connect, read_run

SHOWN = (1, 2, 5, 10, 20, 30, 50, 100, 200)  # requests after which the model is measured
WITHOUT_END = "requests: 10000\ndrift: 100\n"
COLUMNS = ("requests", "records", "retrained", "seconds", "gap", "nothing", "known", "worst", "TA")
METHOD, PRESET = "ft", "paper"
CPU = {"device": "cpu"}


@dataclass
class Row:
    """The requests so far."""

    original: TrackedModel
    model: TrackedModel
    forgotten: Indices
    seconds: float = 0.0
    retrained: int = 0

    def answer(self, folder: Path, records: Indices, method: str, policy: Path | None) -> None:
        """One more request."""
        file = folder / "request.txt"
        file.write_text("\n".join(map(str, records)) + "\n")
        entry = {
            "records": str(file), "prune_run_id": self.model.run_id, "oracle_run_id": "none",
            "method": method, **({"policy": str(policy)} if policy else {}),
        }  # fmt: skip
        settings = {"preset": PRESET} if method == METHOD else {}
        try:
            done = _quietly(Request(entry=entry, method=settings, device=CPU))
        except UserError as error:
            if "the policy demands" not in str(error):
                raise
            done = _quietly(Request(entry={**entry, "method": "retrain"}, device=CPU))
        run = read_run(connect(), done.unlearned)
        self.model = tracked_model(connect(), done.unlearned)
        self.seconds += run.metrics["RTE"]
        self.retrained += done.plan.chosen.method.name == "retrain"
        self.forgotten = np.union1d(self.forgotten, records)

    def measured(self, requests: int) -> tuple[object, ...]:
        """A line of the table."""
        spec = self.original.spec()
        dataset = data_of(spec, {})
        split = ForgetSplit.of(dataset, spec.split(dataset), self.forgotten)
        problem = UnlearningProblem(
            self.original.run_id,
            self.original.checkpoint,
            dataset,
            split,
            "indices:all",
            DeviceOptions.of(CPU),
        )
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            oracle = train_oracle(connect(), problem)
        checkpoints = {"original": self.original, "model": self.model, "oracle": oracle}
        models = {
            role: predict_split(one.checkpoint.model, split, Run(device="cpu"))
            for role, one in checkpoints.items()
        }
        whole = np.zeros(len(split.forget), bool)
        found = assess(Evidence(models, problem.evaluation_seed, whole), Policy())
        nothing = assess(
            Evidence({**models, "model": models["original"]}, problem.evaluation_seed, whole),
            Policy(),
        )
        rates = [one["fprAfter"] for one in found.records]
        known = sum(one["knownAfter"] for one in found.records)
        return (
            requests, len(split.forget), self.retrained, f"{self.seconds:.0f}",
            f"{found.effect['gap']:.2f}", f"{nothing.effect['gap']:.2f}",
            f"{known} ({sum(one['fprOracle'] <= 5 for one in found.records)})",
            f"{min(rates):.1f}", f"{found.effect['after']['TA']:.2f}",
        )  # fmt: skip


def rows(count: int, size: int, method: str, policy: Path | None, seed: int) -> Iterator[object]:
    """The lines of the table, as they come."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        original = prune(Request(device=CPU))
    model = tracked_model(connect(), original.run_id)
    spec = model.spec()
    numbers = spec.split(data_of(spec, {})).train
    drawn = np.random.default_rng(seed).permutation(numbers)[: count * size].reshape(count, size)
    row = Row(model, model, np.array([], np.int64))
    with tempfile.TemporaryDirectory() as folder:
        for place, records in enumerate(drawn, 1):
            row.answer(Path(folder), np.sort(records), method, policy)
            if place in SHOWN or place == count:
                yield row.measured(place)


def _quietly(request: Request) -> Erased:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        done = erase(request)
    assert done is not None, "the requests are of different records"
    return done


def main() -> None:
    """Print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--records", type=int, default=10)
    parser.add_argument("--method", default=METHOD)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--policy", choices=("true", "false"), default="false")
    given = parser.parse_args()
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as policy:
        policy.write(WITHOUT_END)
        policy.flush()
        chosen = None if given.policy == "true" else Path(policy.name)
        print(f"| {' | '.join(COLUMNS)} |\n|{' ---: |' * len(COLUMNS)}", flush=True)
        for line in rows(given.count, given.records, given.method, chosen, given.seed):
            print(f"| {' | '.join(map(str, line))} |", flush=True)


if __name__ == "__main__":
    main()
