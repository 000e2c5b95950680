"""A mistake in a deletion request is one line, status 2, and nothing is made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.conftest import store_uri
from tests.erase.conftest import CLASSES, MODEL, NAME, World, call
from tests.test_entrypoints import one_line
from tests.test_main_job import runs

PEM = (
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
)
SOON = datetime.now(UTC) + timedelta(days=1)
EVERYTHING = "".join(f"{label}-{name}/*\n" for label, name in enumerate(CLASSES))
TRAINED, VALIDATION = f"0-zero/{NAME.format(0)}", f"0-zero/{NAME.format(5)}"
FILES = {
    "one.csv": f"subject,record\nOrla,{TRAINED}\n",
    "empty.csv": "subject,record\n",
    "nothing.csv": "",
    "unknown.csv": f"subject,record\nOrla,nowhere.png\nOrla,{VALIDATION}\n",
    "all.csv": f"record\n{EVERYTHING}",
    "text.pem": "no key",
    "filled/there.txt": "a file",
    "unknown.yaml": "gapp: 3\n",
    "range.yaml": "gap: 300\n",
    "list.yaml": "- gap\n",
    "word.yaml": "gap: much\n",
    "broken.yaml": "gap: [3\n",
}
ORIGINAL = {"records": "one.csv", "prune_run_id": "{original}", "out": "out"}
MISTAKES: dict[str, tuple[dict[str, str | None], tuple[str, ...]]] = {
    "no records": ({"records": None}, ("give records=FILE",)),
    "no file": ({"records": "none.csv"}, ("none.csv",)),
    "empty list": ({"records": "empty.csv"}, ("empty.csv",)),
    "empty file": ({"records": "nothing.csv"}, ("nothing.csv",)),
    "none trained on": (
        {"records": "unknown.csv"},
        ("none of the 2 records", "1 validation, 1 unknown", "check the list"),
    ),
    "everything": ({"records": "all.csv"}, ("all 86 images", "nothing would be retained")),
    "subject": ({"subject": "Orl"}, ("subject 'Orl'", "Orla")),
    "no subject": ({"subject": " "}, ("subject is empty",)),
    "no key": ({"key": "none.pem"}, ("none.pem",)),
    "no PEM": ({"key": "text.pem"}, ("text.pem is no private key in PEM",)),
    "public key": ({"key": "public.pem"}, ("is a public key", "the private one")),
    "other curve": ({"key": "p384.pem"}, ("p384.pem", "P-256")),
    "out": ({"out": "filled"}, ("filled", "is not empty", "name a new folder")),
    "out is a file": ({"out": "one.csv"}, ("one.csv", "name a new folder")),
    "no date": ({"received": "yesterday"}, ("received='yesterday'", "2026-11-29")),
    "ahead": ({"received": f"{SOON:%Y-%m-%dT%H:%M:%SZ}"}, ("lies ahead of this machine's clock",)),
    "promote": ({"promote": "production"}, ("promote=production", "model=models:/NAME@ALIAS")),
    "no name of an alias": (
        {"promote": "my alias", "prune_run_id": None, "model": f"models:/{MODEL}/1"},
        ("promote='my alias' is no alias",),
    ),
    "reserved alias": ({"promote": "V2"}, ("promote='V2' is no alias",)),
    "two models": ({"model": f"models:/{MODEL}/1"}, ("model=models:", "one of them")),
    "no model": ({"prune_run_id": None}, ("model=models:", "one of them")),
    "no version": ({"prune_run_id": None, "model": f"models:/{MODEL}/7"}, ("no version 7",)),
    "no alias": (
        {"prune_run_id": None, "model": f"models:/{MODEL}@prod"},
        ("'prod'", "production"),
    ),
    "no run": ({"prune_run_id": "0" * 32}, ("0" * 32,)),
    "unfinished": ({"prune_run_id": "{running}"}, ("{running}", "RUNNING")),
    "policy": ({"policy": "none.yaml"}, ("none.yaml",)),
    "threshold": ({"policy": "unknown.yaml"}, ("'gapp'", "did you mean gap")),
    "range": ({"policy": "range.yaml"}, ("gap=300", "at most 100")),
    "type": ({"policy": "word.yaml"}, ("gap='much'",)),
    "no mapping": ({"policy": "list.yaml"}, ("list.yaml", "a threshold a line")),
    "no YAML": ({"policy": "broken.yaml"}, ("broken.yaml", "no YAML")),
    "method": ({"method": "retrian"}, ("method 'retrian'", "did you mean retrain")),
    "oracle": ({"oracle_run_id": "1" * 32}, ("1" * 32,)),
    "processes": ({"devices": "2"}, ("erase works in one process",)),
    "kind": ({"kind": "erasur"}, ("kind 'erasur'", "did you mean erasure")),
}
PLACES = ("records", "key", "out", "policy")


@pytest.fixture(scope="module")
def world(registered: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A store to which nothing is added, beside the files of the mistakes."""
    folder = tmp_path_factory.mktemp("mistakes")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    (folder / "p384.pem").write_bytes(ec.generate_private_key(ec.SECP384R1()).private_bytes(*PEM))
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    (folder / "public.pem").write_bytes(public.public_bytes(PEM[0], kind))
    with pytest.MonkeyPatch.context() as patch:
        world = registered.copied(folder / "store", patch)
        store = world.store
        store.client.create_run(store.experiment_id, tags={"mu.entry": "unlearn"})
    return world


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake(
    name: str, world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri(world.path))
    folder = world.path.parent.parent
    changed, texts = MISTAKES[name]
    running = runs(world.store, "attributes.status = 'RUNNING'")[0].info.run_id
    ids = {"original": world.original, "running": running}
    line = []
    for option, value in {**ORIGINAL, **changed}.items():
        if value is not None:
            given = value.format(**ids)
            place = folder / given if option in PLACES else given
            line += [f"--{option}", place]
    before = {one.info.run_id for one in runs(world.store)}
    there = sorted(folder.rglob("*"))
    assert call(*line) == 2
    said = capsys.readouterr()
    assert said.out == ""
    one_line(said.err, *(text.format(**ids) for text in texts))
    assert {one.info.run_id for one in runs(world.store)} == before
    assert sorted(folder.rglob("*")) == there


def test_without_a_mistake_it_passes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the lines above are refused for nothing but their mistakes."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri(world.path))
    folder, planned = world.path.parent.parent, KeyError("planned")

    def stop(*_: object) -> None:
        raise planned

    monkeypatch.setattr("mu.tasks.erase.run.run_task", stop)
    with pytest.raises(KeyError, match="planned"):
        call("--records", folder / "one.csv", "--prune_run_id", world.original)
