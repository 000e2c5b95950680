"""Teams of real processes: what they say arrives, and nothing that befalls them is a hang."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import torch
from torch import nn

from mu.distributed.team import RankFailedError, end_teams, team_of
from mu.masks import Mask
from mu.runs import Run
from mu.training.progress import FolderKeeper, Progress
from tests.distributed import verbs
from tests.helpers import refused
from tests.processes import PATIENCE, ROOT, environment, run_python

pytestmark = pytest.mark.slow


def run_of(devices: int = 2) -> Run:
    return Run(device="cpu", devices=devices, show_progress=False)


def progress(epoch: int) -> Progress:
    return Progress(0, epoch, {"w": torch.full((2, 3), float(epoch))}, {}, {}, Mask({}))


def children() -> list[psutil.Process]:
    return [one for one in psutil.Process().children() if "spawn_main" in " ".join(one.cmdline())]


def test_each_rank_is_a_process_of_its_own_and_they_are_started_once():
    found = verbs.ranks_of(run_of())
    assert [(rank, size) for rank, size, _ in found] == [(0, 2), (1, 2)]
    assert len({os.getpid(), *(process for _, _, process in found)}) == 3
    assert verbs.ranks_of(run_of()) == found
    assert team_of(run_of()) is team_of(run_of())


def test_one_device_needs_no_processes():
    run = Run(device="cpu")
    assert verbs.ranks_of(run) == [(0, 1, os.getpid())]


@pytest.mark.parametrize("total", [0, 1, 2, 5])
def test_rows_are_gathered_in_their_order(total):
    found = verbs.gathered(run_of(), total)
    assert found.tolist() == [[float(place)] for place in range(total)]


def test_what_the_first_rank_logs_notes_keeps_and_spends_arrives(tmp_path):
    heard = []
    run = Run(device="cpu", devices=2, sink=lambda values, step: heard.append((dict(values), step)))
    run.log("before", 1)
    run.note("noted before")
    run.samples_seen = 5
    keeper = FolderKeeper(tmp_path, {"it": 1})
    keeper.save(progress(3))
    assert verbs.logged(run, keeper, progress(4)) == 3
    assert heard == [({"before": 1}, None), *(({"number": n}, n) for n in range(10))]
    assert run.history("number") == [(number, number) for number in range(10)]
    assert run.notes == ["noted before", "rank 0 noted"]
    assert run.samples_seen == 12
    kept = keeper.last()
    assert kept is not None
    assert kept.epoch == 4
    assert torch.equal(kept.weights["w"], torch.full((2, 3), 4.0))


class Showing(Run):
    """Tells what it would draw."""

    @contextmanager
    def progress(self, label, total):
        self.shown = [("begin", label, total)]
        yield lambda samples, note: self.shown.append((samples, note))
        self.shown.append("end")


def test_bars_are_drawn_by_the_process_that_asks(tmp_path):
    run = Showing(device="cpu", devices=2)
    verbs.logged(run, FolderKeeper(tmp_path, {}), progress(0))
    first, *moves, last = run.shown
    assert (first, last) == (("begin", "work", 10), "end")
    assert sum(samples for samples, _ in moves) == 10
    assert {note for _, note in moves} == {"so far"}


def test_what_is_edited_in_place_is_edited_elsewhere():
    model, values = nn.Linear(2, 2), torch.zeros(3)
    before = [one.clone() for one in model.parameters()]
    found, other = verbs.changed(run_of(), model, values)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), before, strict=True))
    assert values.tolist() == [0, 0, 0]
    assert other.tolist() == [1, 1, 1]
    for a, b in zip(found.parameters(), before, strict=True):
        assert torch.equal(a, b + 1)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_mistake_that_one_rank_finds_is_told_and_the_next_work_goes_well(rank):
    with refused("the image 'a.jpg' is truncated; replace it"):
        verbs.mistaken(run_of(), rank)
    assert len(verbs.ranks_of(run_of())) == 2


def test_a_defect_shows_where_it_came_from():
    with pytest.raises(RankFailedError, match="process 2 of 2") as raised:
        verbs.broken(run_of())
    assert "ZeroDivisionError: of rank 1" in str(raised.value)
    assert "verbs.py" in str(raised.value)


@pytest.mark.parametrize("number", [verbs.SIGKILL, verbs.SIGSEGV], ids=["SIGKILL", "SIGSEGV"])
def test_a_rank_that_is_killed_ends_the_work_and_all_processes(number):
    end_teams()
    run = run_of()
    before = time.monotonic()
    with refused("process 2 of 2 was ended by", number.name):
        verbs.killed(run, number)
    assert time.monotonic() - before < PATIENCE
    assert run.metrics == {"begun": 1}
    assert children() == []


def test_processes_are_ended_when_the_one_that_asks_is_interrupted(tmp_path):
    end_teams()

    def interrupt() -> None:
        while len(list(tmp_path.glob("*.pid"))) < 2:
            time.sleep(0.05)
        os.kill(os.getpid(), 2)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        verbs.stuck(run_of(), str(tmp_path))
    thread.join()
    assert children() == []


def test_processes_end_with_the_one_that_started_them_however_it_ends(tmp_path):
    code = (
        "import sys\nfrom mu.runs import Run\nfrom tests.distributed import verbs\n"
        "if __name__ == '__main__':\n"
        f"    verbs.stuck(Run(device='cpu', devices=2), {str(tmp_path)!r})\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    with subprocess.Popen(
        [sys.executable, str(script)], cwd=ROOT, env=environment(), start_new_session=True
    ) as process:
        ranks = _started(tmp_path)
        process.kill()
    _, alive = psutil.wait_procs(ranks, timeout=PATIENCE)
    assert not alive


def test_an_interruption_as_they_start_leaves_nothing(monkeypatch, tmp_path):
    """Wherever between one process and the next it comes."""
    end_teams()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    starts = []
    begin = multiprocessing.process.BaseProcess.start

    def interrupted(self):
        begin(self)
        starts.append(self)
        if len(starts) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(multiprocessing.process.BaseProcess, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        verbs.ranks_of(run_of(4))
    assert len(starts) == 2
    assert children() == []
    assert not list(tmp_path.glob("mu-team-*"))


SCRIPT = """
from mu.runs import Run
from tests.distributed import verbs
print(len(verbs.ranks_of(Run(device="cpu", devices=2))))
"""


def test_a_script_without_a_guard_is_told_of_it(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = run_python(str(script), cwd=ROOT)
    assert done.returncode != 0
    assert 'below if __name__ == "__main__":' in done.stderr.strip().splitlines()[-1]


def test_a_program_that_cannot_be_read_again_is_refused():
    done = subprocess.run(
        [sys.executable, "-"],
        input=SCRIPT,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(),
        timeout=PATIENCE,
        check=False,
    )
    assert "other processes cannot read" in done.stderr.strip().splitlines()[-1]


def test_what_is_given_as_a_word_needs_no_guard():
    assert run_python("-c", SCRIPT).stdout.strip() == "2"


def _started(folder: Path) -> list[psutil.Process]:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        texts = [path.read_text() for path in folder.glob("*.pid")]
        if len(texts) == 2 and all(texts):
            return [psutil.Process(int(text)) for text in texts]
        time.sleep(0.05)
    raise AssertionError("the ranks did not start")


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        ({"device": "cpu", "sync_bn": True, "devices": 2}, ("sync_bn=True", "leave sync_bn out")),
        ({"device": "cpu", "sync_bn": True}, ("sync_bn=True", "devices=1")),
        ({"device": "cpu:0", "devices": 2}, ("device=cpu:0", "give device=cpu")),
    ],
)
def test_devices_that_cannot_be_are_refused(options, texts):
    with refused(*texts):
        Run(**options)


def test_more_gpus_than_there_are_are_refused(monkeypatch):
    monkeypatch.setattr("mu.runs.pick_device", lambda _: torch.device("cuda"))
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    with refused("devices=3", "2 GPUs", "device=cpu"):
        Run(devices=3)
