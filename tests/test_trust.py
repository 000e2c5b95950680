"""Code that a spec names is not imported, unless it is trusted: by name, or as the user's run."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

import mu
from mu.checkpoints import Checkpoint, Spec
from mu.data import load_data
from mu.file_names import SPEC_FILE
from mu.masks import Mask
from mu.models import ModelSpec
from mu.tags import COMMIT
from mu.tracking import Store, keep_document, tracked
from mu.tracking.serving import _load_pyfunc, save_checkpoint
from mu.trust import named
from tests.helpers import make_checkpoint, make_dataset, refused
from tests.tracking.handovers import hand_over

STRANGER = """
    from pathlib import Path
    Path(__file__).with_name("executed").touch()

    from torch import nn
    from tests.helpers import make_dataset

    def net(num_classes, in_channels, image_size):
        return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * image_size**2, num_classes))

    def data(data_dir, image_size):
        return make_dataset()
"""


@pytest.fixture(autouse=True)
def executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Whether the stranger's module was imported: it leaves a file when it is."""
    (tmp_path / "stranger.py").write_text(dedent(STRANGER))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("MU_TRUST", "")  # what a command adds to it is taken back
    monkeypatch.delitem(sys.modules, "stranger", raising=False)
    yield (tmp_path / "executed").exists
    sys.modules.pop("stranger", None)


def with_names(arch: str | None = None, dataset: str | None = None) -> Checkpoint:
    """A checkpoint whose spec names functions of the stranger; nothing of these is imported."""
    made = make_checkpoint(make_dataset())
    data = replace(made.spec.data, name=dataset) if dataset else made.spec.data
    if arch is None:
        return Checkpoint(made.model, made.mask, replace(made.spec, data=data))
    from torch import nn

    network = made.spec.recipe.model.replace(arch=arch)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(network.in_channels * network.image_size**2, network.num_classes)
    )
    recipe = replace(made.spec.recipe, model=network)
    return Checkpoint(model, Mask.dense(model, ["1.weight"]), Spec(data, recipe))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A downloaded checkpoint."""
    with_names(arch="stranger:net").save(tmp_path / "downloaded")
    return tmp_path / "downloaded"


# --- folders ------------------------------------------------------------------------------


def test_a_network_of_a_folder_is_not_built_by_its_function(folder, executed):
    with refused("arch=stranger:net", "trust=stranger", "MU_TRUST=stranger"):
        Checkpoint.load(folder)
    assert not executed()


def test_evaluate_refuses_a_folder_that_names_a_network(store, folder, executed, program):
    program.refuses(f"evaluate --checkpoint {folder} --forget class:0", "arch=stranger:net")
    assert not executed()


def test_evaluate_refuses_a_folder_that_names_a_data_set(store, tmp_path, executed, program):
    with_names(dataset="stranger:data").save(tmp_path / "downloaded")
    line = f"evaluate --checkpoint {tmp_path / 'downloaded'} --forget class:0"
    program.refuses(line, "dataset=stranger:data")
    assert not executed()


def test_evaluate_imports_what_its_option_trusts(store, folder, executed, program):
    line = f"--checkpoint {folder} --forget class:0 --trust stranger:net"
    _, _, errors = program(f"evaluate {line}")

    assert executed()
    assert "trust" not in errors  # the made-up data has no reader, so it ends there


@pytest.mark.parametrize("trusted", ["stranger", "stranger:net", "other, stranger"])
def test_what_the_variable_names_is_imported(trusted, folder, executed, monkeypatch):
    monkeypatch.setenv("MU_TRUST", trusted)

    assert Checkpoint.load(folder).spec.recipe.model.arch == "stranger:net"
    assert executed()


@pytest.mark.parametrize("trusted", ["", "strange", "stranger:ne", "stranger.inner", "*", "none"])
def test_what_is_only_like_a_trusted_name_is_not(trusted, folder, executed, monkeypatch):
    monkeypatch.setenv("MU_TRUST", trusted)

    with refused("stranger:net"):
        Checkpoint.load(folder)
    assert not executed()


def test_modules_below_a_trusted_one_are_trusted():
    trusts = named("package.models")

    assert trusts("package.models:net")
    assert trusts("package.models.deep:net")
    assert not trusts("package:net")
    assert not trusts("package.models_of_others:net")


def test_a_served_folder_is_refused_too(folder, executed, monkeypatch):
    with refused("stranger:net"):
        _load_pyfunc(str(folder / "checkpoint"))
    assert not executed()

    monkeypatch.setenv("MU_TRUST", "stranger")
    _load_pyfunc(str(folder / "checkpoint"))
    assert executed()


def test_a_spec_is_read_all_the_same_for_what_else_it_says(folder, executed):
    spec, files = Spec.from_json((folder / SPEC_FILE).read_bytes())

    assert spec == with_names(arch="stranger:net").spec
    assert spec.to_json(files) == (folder / SPEC_FILE).read_text()
    assert not executed()


# --- what the user types ------------------------------------------------------------------


def test_names_that_the_user_gives_are_imported(executed):
    assert load_data("stranger:data").name == "stranger:data"
    assert ModelSpec("stranger:net", 3, 1, image_size=4).build(0) is not None
    assert executed()


# --- runs ---------------------------------------------------------------------------------


@pytest.fixture
def run_id(store: Store) -> str:
    return hand_over(store, with_names(arch="stranger:net"))


def test_a_run_of_this_user_at_this_commit_is_trusted(run_id, executed):
    assert mu.load_model(run_id) is not None
    assert executed()


@pytest.mark.parametrize(("tag", "value"), [("mlflow.user", "mallory"), (COMMIT, "0" * 40)])
def test_a_run_of_another_user_or_commit_is_not(tag, value, run_id, store, executed):
    store.client.set_tag(run_id, tag, value)

    for load in (mu.load_model, mu.load_checkpoint):
        with refused("arch=stranger:net", "trust=stranger"):
            load(run_id)
    assert not executed()
    assert mu.load_model(run_id, trust="stranger") is not None


def test_a_run_without_a_user_is_not(run_id, store, executed):
    store.client.delete_tag(run_id, "mlflow.user")

    with refused("stranger:net"):
        mu.load_model(run_id)
    assert not executed()


def test_none_trusts_no_run_by_its_tags(run_id, executed, monkeypatch):
    monkeypatch.setenv("MU_TRUST", "none, other")

    with refused("stranger:net"):
        mu.load_model(run_id)
    assert not executed()


@pytest.mark.parametrize("option", ["--prune_run_id", "--oracle_run_id"])
def test_unlearn_refuses_the_run_of_another(option, run_id, store, executed, program):
    store.client.set_tag(run_id, "mlflow.user", "mallory")
    program.refuses(f"unlearn {option} {run_id} --forget class:0 --method ft")
    assert not executed()


def test_a_mask_of_another_does_not_bring_its_network(run_id, store, executed, program):
    store.client.set_tag(run_id, "mlflow.user", "mallory")
    program.refuses(f"prune --mask_run_id {run_id}", "arch=stranger:net")
    assert not executed()


def interrupted(store: Store, entry: str, document: dict[str, Any]) -> str:
    """The ID of a run of somebody else that was stopped, and what it was to do."""
    with pytest.raises(RuntimeError), tracked(store, entry, "small") as recorder:  # noqa: PT012
        keep_document(recorder, document)
        raise RuntimeError("stopped")
    store.client.set_tag(recorder.run_id, "mlflow.user", "mallory")
    return recorder.run_id


def test_an_interrupted_prune_run_of_another_is_not_continued(store, executed, program):
    spec = with_names(dataset="stranger:data").spec.as_dict()
    document = {"spec": json.loads(json.dumps(spec)), "mask_run_id": None, "precision": "auto"}
    line = f"prune --resume_run_id {interrupted(store, 'prune', document)}"
    program.refuses(line, "dataset=stranger:data")
    assert not executed()


def test_an_interrupted_sweep_of_another_is_not_continued(store, executed, program):
    document = {"grid": "originals: {dataset: 'stranger:data'}", "device": {}}
    line = f"sweep --resume_run_id {interrupted(store, 'sweep', document)} --dry_run true"
    program.refuses(line, "dataset=stranger:data")
    assert not executed()


def test_what_a_trusted_network_is_saved_as_names_it_as_text(folder, store, monkeypatch):
    monkeypatch.setenv("MU_TRUST", "stranger")
    with tracked(store, "prune", "small") as recorder:
        save_checkpoint(recorder, Checkpoint.load(folder))

    model = store.client.download_artifacts(recorder.run_id, "checkpoint/MLmodel")
    assert "runs_code_of: stranger:net" in Path(model).read_text()


def test_a_network_that_the_user_names_too_is_imported(run_id, store, executed, program):
    store.client.set_tag(run_id, "mlflow.user", "mallory")
    line = f"--prune_run_id {run_id} --arch stranger:net --forget class:0 --method ft"
    _, _, errors = program(f"unlearn {line}")

    assert executed()
    assert "trust" not in errors
