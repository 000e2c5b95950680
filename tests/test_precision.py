"""What ``precision=auto`` takes on a CPU: measured where it may pay, kept, recorded, resumed."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mu import precision, tags
from mu import runs as runs_module
from mu.cli.requests import DeviceOptions
from mu.models import ModelSpec
from mu.precision import ROUNDS, SECONDS, WORTH, Decision, decide, speedup
from mu.processor import Processor
from mu.runs import Run
from mu.spec import Spec
from mu.tasks.base import record_rounding, run_task
from mu.tasks.problem import TrainTask
from mu.tasks.resume import continue_training
from mu.tracking import Recorder, Store, fetch_document, resuming
from tests.commands import call
from tests.test_threads import DATA
from tests.tracking.test_resuming import interrupt_at, newest
from tests.tracking.whole import keep_at_once

FAST = Processor("a processor (AVX512)", ("avx512_bf16",))
SHAPE = (1, 8, 8)
Measure = Callable[[nn.Module, tuple[int, int, int]], float]


class Tiny(nn.Sequential):
    """A small network with dropout, which draws from torch's generator."""

    def __init__(self, width: int = 4) -> None:
        super().__init__(nn.Flatten(), nn.Linear(64, width), nn.Dropout(), nn.Linear(width, 3))


class Timer:
    """Measures what it is told to, and counts."""

    def __init__(self, gain: float) -> None:
        self.gain, self.calls = gain, 0

    def __call__(self, model: nn.Module, shape: tuple[int, int, int]) -> float:
        self.calls += 1
        return self.gain


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no network so small that nothing is measured."""
    monkeypatch.setenv("MU_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(precision, "SMALL", 0)
    return tmp_path / "cache" / "precision"


def taken(measure: Measure, model: nn.Module | None = None, **changed: object) -> str:
    arguments = {"shape": SHAPE, "processor": FAST, **changed}
    return decide(model or Tiny(), measure=measure, **arguments).precision  # type: ignore[arg-type]


# --- the decision -------------------------------------------------------------------------


@pytest.mark.parametrize(("gain", "wanted"), [(1.6, "bf16"), (WORTH, "bf16"), (1.0, "fp32")])
def test_it_is_what_is_clearly_faster(cache: Path, gain: float, wanted: str) -> None:
    assert taken(Timer(gain)) == wanted


def test_bf16_says_so_and_how_to_get_the_other(cache: Path) -> None:
    _, note = decide(Tiny(), SHAPE, FAST, Timer(1.63))
    assert all(text in note for text in ("bf16", "1.63", "avx512_bf16", "precision=fp32"))
    assert decide(Tiny(), SHAPE, Processor("an old one"), Timer(1.63)) == Decision("fp32")


@pytest.mark.parametrize(
    ("processor", "arch"), [(Processor("without"), "resnet20"), (FAST, "resnet_mini")]
)
def test_nothing_is_measured_without_instructions_or_for_small_networks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processor: Processor, arch: str
) -> None:
    monkeypatch.setenv("MU_CACHE", str(tmp_path / "cache"))
    timer, shape = Timer(9.0), (3, 32, 32) if arch == "resnet20" else SHAPE
    model = ModelSpec.for_images(arch, "auto", 10, shape).build(0)
    assert decide(model, shape, processor, timer) == Decision("fp32")
    assert timer.calls == 0
    assert not (tmp_path / "cache").exists()


def test_it_is_measured_once(cache: Path) -> None:
    timer = Timer(1.6)
    assert [taken(timer) for _ in range(3)] == ["bf16"] * 3
    assert taken(Timer(0.5)) == "bf16"  # as was decided on this machine
    assert timer.calls == 1


def test_another_network_shape_processor_or_number_of_threads_is_measured_anew(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timer = Timer(1.6)
    taken(timer)
    taken(timer, model=Tiny(5))
    taken(timer, shape=(1, 4, 16))
    taken(timer, processor=replace(FAST, bf16=("amx_bf16", "avx512_bf16")))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    taken(timer)
    monkeypatch.setattr(torch, "__version__", "9.9")
    taken(timer)
    assert timer.calls == 6
    taken(timer)
    assert timer.calls == 6
    assert len(list(cache.glob("*.json"))) == 6


@pytest.mark.parametrize(
    "broken",
    ["", "{", "[]", '{"speedup": 5}', '{"about": {}, "speedup": 5}', "NaN", '"text"', "\0" * 9],
)
def test_a_damaged_file_is_measured_anew_and_replaced(cache: Path, broken: str) -> None:
    assert taken(Timer(1.6)) == "bf16"
    (file,) = cache.glob("*.json")
    whole = file.read_text()
    for change in (broken, whole.replace("1.6", "-1"), whole.replace("1.6", '"fast"')):
        file.write_text(change)
        again = Timer(1.6)
        assert (taken(again), again.calls) == ("bf16", 1)
        assert file.read_text() == whole


def test_a_file_of_another_network_is_not_believed(cache: Path) -> None:
    taken(Timer(1.6))
    (file,) = cache.glob("*.json")
    document = json.loads(file.read_text())
    document["about"]["torch"] = "9.9"
    file.write_text(json.dumps(document))
    assert taken(Timer(0.5)) == "fp32"


def test_what_another_process_found_meanwhile_counts(cache: Path) -> None:
    """Two that begin at once do not decide differently."""

    def slower(model: nn.Module, shape: tuple[int, int, int]) -> float:
        raise AssertionError("it is there by now")

    class Lock:
        def __init__(self, path: Path) -> None:
            self.path = path

        def __enter__(self) -> None:
            about = precision._about(Tiny(), SHAPE, FAST)
            text = json.dumps({"about": about, "speedup": 1.7})
            self.path.with_suffix(".json").write_text(text)

        def __exit__(self, *_: object) -> None:
            pass

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("filelock.FileLock", Lock)
        assert taken(slower) == "bf16"


def test_what_cannot_be_kept_is_fp32_unmeasured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MU_CACHE", str(tmp_path / "file"))
    timer = Timer(1.6)
    found, note = decide(Tiny(), SHAPE, FAST, timer)
    assert (found, timer.calls) == ("fp32", 0)
    assert all(text in note for text in (str(tmp_path / "file"), "MU_CACHE", "precision=bf16"))


# --- the measurement ----------------------------------------------------------------------


class Clock:
    """Each forward and backward pass takes as long as it is said to, by precision."""

    def __init__(self, fp32: float, bf16: float) -> None:
        self.now, self.seconds, self.passes = 0.0, {False: fp32, True: bf16}, 0

    def __call__(self) -> float:
        return self.now

    def network(self) -> nn.Module:
        clock = self

        class Timed(Tiny):
            def forward(self, images: Tensor) -> Tensor:
                clock.now += clock.seconds[torch.is_autocast_enabled("cpu")]
                clock.passes += 1
                return super().forward(images)  # type: ignore[no-any-return]

            def __deepcopy__(self, memo: object) -> Timed:
                return self  # with its clock

        return Timed()


@pytest.mark.parametrize(("fp32", "bf16"), [(3.0, 2.0), (1.0, 4.0)])
def test_it_is_the_ratio_of_a_step_to_a_step(fp32: float, bf16: float) -> None:
    clock = Clock(fp32, bf16)
    assert speedup(clock.network(), SHAPE, clock) == pytest.approx(fp32 / bf16)
    rounds = min(1 + ROUNDS, -(-SECONDS // (fp32 + bf16)))
    assert clock.passes == 2 * rounds


def test_slow_networks_are_not_measured_for_long() -> None:
    clock = Clock(60.0, 30.0)
    assert speedup(clock.network(), SHAPE, clock) == 2.0
    assert clock.passes == 4  # one round warms up, one counts


def test_it_changes_neither_the_network_nor_any_draw() -> None:
    model = Tiny().eval().requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    assert speedup(model, SHAPE) > 0
    assert torch.equal(torch.rand(4), expected)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not model.training
    assert all(one.grad is None and not one.requires_grad for one in model.parameters())


def test_a_network_that_does_not_work_in_bf16_is_in_fp32() -> None:
    class Refuses(Tiny):
        def forward(self, images: Tensor) -> Tensor:
            found: Tensor = super().forward(images)
            if found.dtype == torch.bfloat16:
                raise RuntimeError("not implemented for 'BFloat16'")
            return found

    assert speedup(Refuses(), SHAPE) == 0.0


def test_a_defect_of_the_network_is_raised() -> None:
    class Broken(Tiny):
        def forward(self, images: Tensor) -> Tensor:
            raise RuntimeError("a defect")

    with pytest.raises(RuntimeError, match="a defect"):
        speedup(Broken(), SHAPE)


# --- the processor ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name", "found"),
    [
        ("model name\t: A Xeon\nflags\t: sse avx512_bf16 amx_bf16", "A Xeon", ("amx", "avx512")),
        ("model name\t: An EPYC\nflags\t: sse avx2\nflags\t: avx512_bf16", "An EPYC", ()),
        ("processor\t: 0\nFeatures\t: fp asimd bf16 i8mm", "", ("bf16",)),
        ("", "", ()),
    ],
)
def test_linux_says_what_it_is(
    tmp_path: Path, text: str, name: str, found: tuple[str, ...]
) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    here = Processor.of(torch.device("cpu"), tmp_path / "cpuinfo")
    assert here.name.startswith(name)
    assert len(here.name) > len(" ()")
    assert [one.partition("_")[0] for one in here.bf16] == list(found)
    assert Processor.of(torch.device("cpu"), tmp_path / "none").bf16 == ()


# --- runs ---------------------------------------------------------------------------------


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Timer:
    """A machine whose processor has the instructions, and a timer that says bf16 is faster."""
    timer = Timer(1.6)
    monkeypatch.setattr(
        runs_module, "decide", lambda model, shape: decide(model, shape, FAST, timer)
    )
    monkeypatch.setattr(Processor, "of", lambda _device: FAST)
    return timer


@pytest.mark.parametrize(
    ("given", "wanted"), [("auto", "bf16"), ("fp32", "fp32"), ("bf16", "bf16")]
)
def test_a_run_settles_it_with_its_first_network(fast: Timer, given: str, wanted: str) -> None:
    run = Run(device="cpu", precision=given)
    assert run.precision == given
    run.place(Tiny())  # without a shape nothing can be timed
    assert run.precision == given
    run.place(Tiny(), SHAPE)
    assert (run.precision, run.bf16) == (wanted, wanted == "bf16")
    with run.autocast():
        assert torch.is_autocast_enabled("cpu") == run.bf16
    assert fast.calls == len(run.notes) == (given == "auto")
    fast.gain = 0.1
    run.place(Tiny(9), SHAPE)
    assert run.precision == wanted  # a run has one


def test_the_measurement_is_no_part_of_the_work(fast: Timer, cache: Path) -> None:
    run, now = Run(device="cpu"), []

    def slow(model: nn.Module, shape: tuple[int, int, int]) -> float:
        now.append(run.clock())
        return 1.6

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Timer, "__call__", lambda _self, *both: slow(*both))
        patch.setattr(runs_module.time, "perf_counter", iter(range(0, 900, 30)).__next__)
        before = run.clock()
        run.place(Tiny(), SHAPE)
        after = run.clock()
    assert len(now) == 1
    assert after - before == 30 * (1 + len(now))  # the calls of the clock itself, but one


def resumed_note(store: Store, before: dict[str, str]) -> list[str]:
    """What a run says that began like that and is continued here in fp32."""
    run = Run(device="cpu", precision="fp32")

    def work(recorder: Recorder) -> None:
        recorder.tags(before)
        recorder.flush()
        record_rounding(recorder, run, resumed=True)

    run_id = run_task(store, "prune", "a title", work)[0]
    found = store.run(run_id).data.tags
    assert {name: found[name] for name in before} == before  # it stays what the run began as
    return run.notes


def test_a_run_that_is_continued_on_another_kind_of_processor_says_so(store: Store) -> None:
    here = Run(device="cpu").processor
    assert resumed_note(store, {tags.PROCESSOR: here, tags.PRECISION: "fp32"}) == []
    (note,) = resumed_note(store, {tags.PROCESSOR: "Another (AVX512)"})
    assert all(text in note for text in ("Another (AVX512)", here, "rounding"))


SHORT = ["prune", "--epochs", "3", "--train_size", "60", "--rate", "0", "--device", "cpu"]


def begun(epochs: int, *line: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        keep_at_once(patch)
        interrupt_at(patch, resuming.RunCheckpointer, "save", epochs)
        assert call(*SHORT, *line) == 128 + signal.SIGINT


def test_a_run_records_it_and_keeps_it_when_it_is_resumed(store: Store, fast: Timer) -> None:
    """On a machine where auto would be the other, too."""
    begun(1)
    run_id = newest(store).info.run_id
    fast.gain, fast.calls = 0.5, 0
    for file in (precision.cache_folder() / "precision").iterdir():
        file.unlink()  # as on another machine
    recipe = Spec.from_dict(fetch_document(store, newest(store))["spec"]).recipe
    task = TrainTask(DATA, recipe, DeviceOptions(device="cpu"))
    assert continue_training(store, task).resume_run_id == run_id
    assert continue_training(store, task).device.precision == "bf16"
    other = replace(task, device=DeviceOptions(device="cpu", precision="fp32"))
    assert continue_training(store, other).resume_run_id is None
    assert call("prune", "--resume_run_id", run_id, "--device", "cpu", "--precision", "auto") == 0
    run = store.run(run_id)
    assert run.data.params["precision"] == "bf16"
    assert run.data.tags["mu.precision"] == "bf16"
    assert run.data.tags["mu.processor"] == str(FAST)
    config = store.client.download_artifacts(run_id, "config.json")
    assert json.loads(Path(config).read_text())["precision"] == "bf16"
    assert fast.calls == 0


@pytest.mark.slow
def test_progress_of_earlier_versions_goes_on_in_fp32(store: Store, fast: Timer) -> None:
    """They had auto, which was fp32 on every CPU, and recorded neither."""
    fast.gain = 0.5
    begun(1)
    run_id = newest(store).info.run_id
    for name in (tags.PRECISION, tags.PROCESSOR):
        store.client.delete_tag(run_id, name)
    assert fetch_document(store, newest(store))["precision"] == "auto"
    fast.gain = 1.6
    for file in (precision.cache_folder() / "precision").iterdir():
        file.unlink()
    assert call("prune", "--resume_run_id", run_id, "--device", "cpu") == 0
    assert store.run(run_id).data.tags["mu.precision"] == "fp32"
