"""From a command line to the request of a task: run IDs are whole there."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from mu.cli.entry import entry_command
from mu.cli.options import Group
from mu.cli.requests import CompareOptions, EvaluateOptions, PruneOptions, Request, UnlearnOptions
from mu.cli.run_ids import whole_request
from mu.hyperparameters import Hyperparameters
from mu.methods import method_class
from mu.tasks.sweep.grid import Grid
from mu.tracking import Store, load_mask
from tests.helpers import refused
from tests.processes import PATIENCE
from tests.tracking.handovers import hand_over

requests: list[Request] = []


def task(request: Request) -> None:
    requests.append(request)


def given(options: type[Hyperparameters], line: str | list[str]) -> dict[str, Any]:
    groups = {"entry": [Group(options)]}
    command = entry_command("it", "help", groups, "tests.cli.test_entry:task")
    words = line.split() if isinstance(line, str) else line
    command.main(words, standalone_mode=False)
    return dict(requests[-1].entry)


def test_shortened_ids_are_whole_in_the_request(store: Store) -> None:
    one, two = hand_over(store), hand_over(store)
    short = one[:14]
    assert given(PruneOptions, f"--mask_run_id {short}") == {"mask_run_id": one}
    assert given(CompareOptions, f"--parent {short}") == {"parent": one}
    line = f"--run_id {short} --run_ids {two[:14]},{one} --oracle_run_id find"
    assert given(EvaluateOptions, line) == {
        "run_id": one,
        "run_ids": f"{two},{one}",
        "oracle_run_id": "find",
    }
    with refused("no run of the experiment begins with 'abcd0'"):
        given(EvaluateOptions, "--run_id abcd0")


def test_forget_sets_settings_of_methods_and_grids_have_whole_ids_too(store: Store) -> None:
    one, two = hand_over(store), hand_over(store)
    line = f"--forget vulnerable:1000:{one[:14]} --prune_run_id {two[:14]}"
    found = {"forget": f"vulnerable:1000:{one}", "prune_run_id": two}
    assert given(UnlearnOptions, line) == found
    request = Request(entry={"forget": f"suspects:{one[:14]}:30"}, method={"lira_run_id": two[:14]})
    whole = Request(entry={"forget": f"suspects:{one}:30"}, method={"lira_run_id": two})
    assert whole_request(request) == whole
    grid = Grid.of({"originals": {"mask_run_id": [one[:14]]}, "forget": [f"suspects:{two[:14]}"]})
    assert (grid.originals, grid.forget) == (({"mask_run_id": one},), (f"suspects:{two}",))
    assert load_mask(one[:14]).fingerprint == load_mask(one).fingerprint


@pytest.mark.parametrize("word", ["auto", "nonsense", "f" * 32])
def test_no_store_is_opened_for_words_and_whole_ids(
    word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "file:/nowhere")
    assert given(UnlearnOptions, f"--prune_run_id {word}") == {"prune_run_id": word}
    for forget in (f"vulnerable:1000:{'f' * 32}", "files:/tmp/abcd", "class:dead"):
        assert given(UnlearnOptions, f"--forget {forget}") == {"forget": forget}


def test_a_setting_is_known_by_its_former_name() -> None:
    method = method_class("ga")
    assert given(method, "--spend 2") == given(method, "--max-accuracy-drop 2")
    assert given(method, "--spend 2") == {"max_accuracy_drop": 2.0}
    with refused("spend is the former name of max_accuracy_drop"):
        given(method, "--spend 2 --max_accuracy_drop 3")
    with refused("spend='much'", "float"):
        given(method, "--spend much")


@pytest.mark.slow
def test_a_stopped_process_ends_though_a_thread_of_a_pool_still_waits() -> None:
    """As those do that MLflow fetches files with, where a server is silent."""
    code = """
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import click

from mu.cli import main

main.EXIT_SECONDS = 0.5
sys.argv[1:] = []


def build(_):
    @click.command()
    def command():
        ThreadPoolExecutor(1).submit(time.sleep, 3600)
        print("begun")
        raise KeyboardInterrupt

    return command


main.run(build)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stdout) == (130, "begun\n")
    assert done.stderr.strip() == "stopped by SIGINT"
