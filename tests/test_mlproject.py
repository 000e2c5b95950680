"""MLproject and conda.yaml against the programs and pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from entrypoints import (
    backdoor,
    claims,
    compare,
    dataset,
    erase,
    evaluate,
    export,
    lira,
    prune,
    sweep,
    transfer,
    tune,
    unlearn,
)
from mu.cli import requests as options
from mu.hyperparameters import Hyperparameters
from mu.methods import DEFAULT_METHOD, method_class
from mu.pruning import DEFAULT_PRUNER, pruner_class
from mu.tracking.doctor import ENTRY_POINTS

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = yaml.safe_load((ROOT / "MLproject").read_text())
PROGRAMS = {
    "prune": prune,
    "unlearn": unlearn,
    "backdoor": backdoor,
    "lira": lira,
    "evaluate": evaluate,
    "transfer": transfer,
    "erase": erase,
    "claims": claims,
    "compare": compare,
    "dataset": dataset,
    "sweep": sweep,
    "tune": tune,
    "export": export,
}
each_entry = pytest.mark.parametrize("entry", PROJECT["entry_points"])


def parameters(entry: str) -> dict[str, Any]:
    return dict(PROJECT["entry_points"][entry]["parameters"])


def command(entry: str) -> str:
    return str(PROJECT["entry_points"][entry]["command"])


def arguments(entry: str) -> list[str]:
    """The command line that MLflow makes of the defaults, after the program's name."""
    text = command(entry)
    for name, one in parameters(entry).items():
        text = text.replace(f"{{{name}}}", str(one["default"]))
    program, *rest = text.removeprefix("python -m ").split()
    assert program == f"entrypoints.{entry}"
    return rest


def test_the_project_names_its_environment() -> None:
    assert PROJECT["name"] == "mu"
    assert PROJECT["conda_env"] == "conda.yaml"
    assert not {"python_env", "docker_env"} & set(PROJECT)


def test_every_entry_point_has_its_program_and_the_doctor_knows_it() -> None:
    assert set(PROJECT["entry_points"]) == set(PROGRAMS) == set(ENTRY_POINTS)


@each_entry
def test_every_parameter_is_passed_once_under_its_own_name(entry: str) -> None:
    words = command(entry).split()
    passed = [(words[place - 1], word) for place, word in enumerate(words) if "{" in word]
    assert passed == [(f"--{name}", f"{{{name}}}") for name in parameters(entry)]


@each_entry
def test_every_parameter_is_text_with_a_default_and_an_option_of_the_program(entry: str) -> None:
    program: click.Command = PROGRAMS[entry].build(arguments(entry))
    known = {option.name for option in program.params}
    for name, one in parameters(entry).items():
        assert one["type"] == "string", "MLflow checks other types badly"
        assert str(one["default"]) != "", "an empty text cannot be passed"
        assert name in known


@each_entry
def test_the_program_takes_the_defaults(entry: str) -> None:
    PROGRAMS[entry].build(arguments(entry)).make_context(entry, arguments(entry))


@each_entry
def test_a_default_is_the_one_that_stands_in_the_code(entry: str) -> None:
    groups: dict[str, tuple[type[Hyperparameters], ...]] = {
        "prune": (
            options.DataOptions,
            options.OriginalOptions,
            pruner_class(DEFAULT_PRUNER),
            options.DeviceOptions,
        ),
        "unlearn": (options.UnlearnOptions, method_class(DEFAULT_METHOD), options.DeviceOptions),
        "backdoor": (options.BackdoorOptions, options.DeviceOptions),
        "claims": (options.ClaimsOptions,),
        "compare": (options.CompareOptions,),
        "dataset": (options.DatasetOptions,),
        "export": (options.ExportOptions,),
        "lira": (options.LiraOptions, options.DeviceOptions),
        "evaluate": (options.EvaluateOptions, options.DeviceOptions),
        "transfer": (options.TransferOptions, options.DeviceOptions),
        "erase": (options.EraseOptions, options.DeviceOptions),
        "sweep": (options.SweepOptions, options.DeviceOptions),
        "tune": (options.TuneOptions, options.DeviceOptions),
    }
    from mu.data.splits import SplitSpec

    known: dict[str, Any] = {}
    for group in (*groups[entry], SplitSpec):
        known |= {name: one.default for name, one in group.__dataclass_fields__.items()}
    declared = {name: one["default"] for name, one in parameters(entry).items()}
    assert {name: known[name] for name in declared} == declared


@pytest.mark.parametrize("method", ["retrain", "ft", "l1_sparse"])
def test_every_method_takes_the_declared_parameters(method: str) -> None:
    given = [*arguments("unlearn"), "--method", method]
    unlearn.build(given).make_context("unlearn", given)


# --- the environment ----------------------------------------------------------------------

CONDA: dict[str, Any] = yaml.safe_load((ROOT / "conda.yaml").read_text())
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PLAIN = [one for one in CONDA["dependencies"] if isinstance(one, str)]
(PIP,) = [one["pip"] for one in CONDA["dependencies"] if isinstance(one, dict)]
PINS = {Requirement(one).name: Requirement(one) for one in PIP}
BOUNDS = {one.name: one for one in map(Requirement, PYPROJECT["dependencies"])}


def pinned(name: str) -> Version:
    (only,) = PINS[name].specifier
    assert only.operator == "=="
    return Version(only.version)


def test_conda_itself_installs_only_python_and_pip() -> None:
    # MLflow's other environment managers drop every other conda package.
    assert [re.split(r"[=<>]", one)[0] for one in PLAIN] == ["python", "pip"]
    version = PLAIN[0].removeprefix("python=")
    assert version in SpecifierSet(PYPROJECT["requires-python"])


def test_nothing_is_installed_editable_or_from_a_place() -> None:
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9.]+", one) for one in PIP)


def test_pins_and_bounds_name_the_same_packages_in_order() -> None:
    assert list(PINS) == list(BOUNDS) == sorted(BOUNDS)


@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_a_pin_lies_inside_the_bounds(name: str) -> None:
    assert pinned(name) in BOUNDS[name].specifier


def test_ray_is_an_extra_of_its_own() -> None:
    # Everything but engine=ray works without it, and it is large.
    (ray,) = map(Requirement, PYPROJECT["optional-dependencies"]["ray"])
    assert ray.name == "ray"
    assert {one.operator for one in ray.specifier} == {">=", "<"}
    assert "ray" not in {*PINS, *BOUNDS}


def test_torch_2_13_is_excluded() -> None:
    assert Version("2.13.0") not in BOUNDS["torch"].specifier
    assert Version("2.13.1") not in BOUNDS["torch"].specifier
    assert pinned("torch").release[:2] != (2, 13)


def test_makefile_reads_the_pins_from_conda() -> None:
    pattern = re.compile(r"^ *- ([a-z].*==.*)$", re.MULTILINE)
    assert pattern.findall((ROOT / "conda.yaml").read_text()) == PIP
