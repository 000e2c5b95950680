"""What a search for settings prints and keeps."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import yaml

from mu.report import console
from mu.report.markdown import escape, markdown_table, paragraphs
from mu.tasks.outputs import write_csv, write_text
from mu.tasks.problem import UnlearningProblem
from mu.tasks.tune.judge import ByCriterion, Judge
from mu.tasks.tune.space import word
from mu.tasks.tune.trials import Space, Trial
from mu.tracking import Recorder, Store, browse

MOST_SHOWN = 5  # trials of the last table, and the default's


@dataclass(frozen=True)
class Outcome:
    """A search that is over."""

    space: Space
    problem: UnlearningProblem  # that was to be solved; the trials may be of another
    judge: Judge
    trials: Sequence[Trial]

    @cached_property
    def ranked(self) -> list[Trial]:
        """The trials, the best first."""
        return sorted(self.trials, key=lambda one: one.order)

    @property
    def best(self) -> Trial:
        """The trial whose settings are chosen."""
        return self.ranked[0]

    @property
    def is_bound(self) -> bool:
        """Whether the settings come from an oracle."""
        return not isinstance(self.judge, ByCriterion)

    def command(self) -> str:
        """What unlearns with the best settings."""
        space, problem = self.space, self.problem
        seed = {"seed": space.seed} if space.seed else {}
        given: dict[str, Any] = {"prune_run_id": problem.run_id, "method": space.method.name}
        given |= {"forget": problem.forget, **space.settings(self.best.tried), **seed}
        texts = [f"{name}={word(value, exact=True)}" for name, value in given.items()]
        return " ".join(["mlflow run . -e unlearn", *(f"-P {shlex.quote(one)}" for one in texts)])

    def notes(self) -> list[str]:
        """What must be known of the result, in words."""
        found, failed = [], [one for one in self.trials if one.result is None]
        if self.is_bound:
            found.append(
                f"an upper bound: these settings were chosen by {self.judge.words}, which nobody "
                "has who has to unlearn; without an oracle tune by target=criterion"
            )
        if len(self.trials) < self.space.count:
            found.append(
                f"trial {self.best.number} is as good as {self.judge.words} can tell, so the "
                f"search ended with it, after {len(self.trials)} of {self.space.count} trials"
            )
        if not self.best.number:
            found.append(
                f"no trial is better than the default (trial 0) by {self.judge.words}: keep the "
                "default settings"
            )
        else:
            found.append(
                f"the best of {len(self.trials)} trials is better than another run with its "
                "settings would be: part of it is luck; other seeds tell"
            )
        if isinstance(self.judge, ByCriterion):
            found += self.judge.notes
        if failed:
            found.append(f"{len(failed)} trials failed, the first: {failed[0].error}")
        return found

    def table(self, trials: Sequence[Trial]) -> tuple[list[str], list[list[str]], str]:
        """Columns, rows and layout."""
        axes, columns = self.space.axes, self.judge.columns
        names = ["trial", *(one.name for one in axes), *columns.values()]
        default = self.space.method.as_dict()
        rows = []
        for trial in trials:
            used = {**default, **trial.tried}
            values = [used[one.name] for one in axes]
            cells = ["default" if value is None else word(value) for value in values]
            found = trial.result.metrics if trial.result else {}
            numbers = [f"{found[n]:.2f}" if n in found else "failed" for n in columns]
            name = str(trial.number) if trial.number else "0 (default)"
            rows.append([name, *cells, *numbers])
        return names, rows, "l" + "r" * (len(names) - 1)

    def shown(self) -> list[Trial]:
        """The best trials, and the default's."""
        first = self.ranked[:MOST_SHOWN]
        return first if self.trials[0] in first else [*first, self.trials[0]]


def print_trial(judge: Judge, trial: Trial) -> None:
    """A line for a trial that is over."""
    tried = " ".join(f"{name}={word(value)}" for name, value in trial.tried.items())
    came = f"failed: {trial.error}"
    if trial.result is not None:
        found = trial.result.metrics
        came = ", ".join(f"{text} {found[name]:.2f}" for name, text in judge.columns.items())
        came += "" if trial.is_new else f" (found in run {trial.result.run_id})"
    print(f"trial {trial.number}: {tried or 'default settings'}: {came}", flush=True)


def print_outcome(store: Store, run_id: str, outcome: Outcome) -> None:
    """What is printed when the search is over."""
    bound = ", an upper bound" if outcome.is_bound else ""
    title = f"{outcome.space.method.name}: best trials by {outcome.judge.words}{bound}"
    console.print_texts(title, *outcome.table(outcome.shown()))
    console.print_notes(outcome.notes())
    lines = {
        "searched": ", ".join(map(str, outcome.space.axes)),
        "best": f"trial {outcome.best.number}",
        "unlearn": outcome.command(),
        "tune": run_id,
        "browse": browse(store, run_id=run_id),
    }
    console.print_lines(lines)


def write_outcome(recorder: Recorder, outcome: Outcome) -> None:
    """The trials, the best settings as a grid of sweep, and the description."""
    folder, space = recorder.folder, outcome.space
    write_csv(folder / "trials.csv", [_row(one) for one in outcome.trials])
    write_text(folder / "best.yaml", yaml.safe_dump(_grid(outcome), sort_keys=False))
    names, rows, layout = outcome.table(outcome.shown())
    bound = " These settings are **an upper bound**." if outcome.is_bound else ""
    recorder.describe(
        paragraphs(
            f"**Search** for settings of `{space.method.name}` that forget "
            f"`{outcome.problem.forget}`, {len(outcome.trials)} trials, by "
            f"{escape(outcome.judge.words)}.{bound}",
            f"Searched: {', '.join(f'`{one}`' for one in space.axes)}",
            markdown_table(names, rows, layout),
            *(f"> {note}" for note in map(escape, outcome.notes())),
            f"`{outcome.command()}`",
        )
    )


def _row(trial: Trial) -> dict[str, Any]:
    """A trial as trials.csv has it."""
    found: Mapping[str, Any] = trial.result.metrics if trial.result else {}
    names = [name for name in found if name.startswith("tune_") or name == "RTE"]
    return {
        "trial": trial.number,
        "state": "failed" if trial.result is None else "new" if trial.is_new else "found",
        **trial.tried,
        **{name: found[name] for name in names},
        "run_id": trial.result.run_id if trial.result else "",
        "error": trial.error,
    }


def _grid(outcome: Outcome) -> dict[str, Any]:
    """A grid of sweep: the default and the best settings, on the same original."""
    space, problem = outcome.space, outcome.problem
    tried = [{}, *([outcome.best.tried] if outcome.best.number else [])]
    chosen = [space.settings(one) for one in tried]
    return {
        "originals": problem.spec.settings(),
        "forget": [problem.forget],
        "methods": [{space.method.name: one} for one in chosen],
        "seed": [space.seed],
    }
