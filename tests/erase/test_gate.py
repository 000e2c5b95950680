"""The gate: an alias is moved by a verdict that allows it, and never back to what was retired."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import mu
from mu import tags
from mu.cli.main import run as run_command
from mu.cli.mu import mu as mu_command
from mu.erasure import effect
from mu.evidence.signing import key_id, load_private_key, new_key, public_name, save_key
from mu.tasks.erase import run as module
from mu.tasks.erase.gate import promote
from mu.tracking import Store, find_original
from mu.tracking.registered import find_version, register, set_alias, tag_version
from mu.tracking.run_files import RunFiles
from tests.erase.conftest import (
    METHOD,
    MODEL,
    PERSONS,
    Erased,
    World,
    call,
    listed,
    newest_erasure,
    write_request,
)
from tests.erase.test_erase import bundle_of, predicate_of
from tests.helpers import flipped, refused
from tests.test_entrypoints import one_line
from tests.test_main_job import runs

FIRST, SECOND = f"models:/{MODEL}/1", f"models:/{MODEL}/2"
PRODUCTION = f"models:/{MODEL}@production"


@pytest.fixture
def world(erased: Erased, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Erased:
    """The test's own copy: version 1 is retired, and production stands for version 2."""
    return erased.copied(tmp_path / "store", monkeypatch)


def production(store: Store) -> int:
    return find_version(store, PRODUCTION).number


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets every assessment, made or verified, come to a verdict."""
    assess = effect.assess

    def be(word: str, *, usable: bool = True) -> None:
        verdict = {"word": word, "reasons": ["so it is", "it is worse"], "usable": usable}
        judged = lambda *about: replace(assess(*about), verdict=verdict)
        monkeypatch.setattr(effect, "assess", judged)
        monkeypatch.setattr(module, "assess", judged)

    return be


# --- an erasure opens it, or does not -----------------------------------------------------


def test_an_erasure_that_passes_moves_the_alias_and_retires_the_old_version(world: Erased) -> None:
    store = world.store
    new, old = find_version(store, PRODUCTION), find_version(store, FIRST)
    assert (new.number, new.tags[tags.EVIDENCE]) == (2, world.first)
    assert tags.RETIRED not in new.tags
    assert old.tags[tags.RETIRED] == world.first  # the gate of the second one is closed
    assert tags.RETIRED in store.run(world.original).data.tags
    gates = [store.run(one).data.tags[tags.GATE] for one in (world.first, world.second)]
    assert gates == ["open", "closed"]
    assert find_original(store, {}) is None  # the only one is retired


@pytest.mark.parametrize(
    ("word", "usable", "why"),
    [
        ("residual", True, "the verdict is residual"),
        ("no_baseline", True, "the verdict is no_baseline"),
        ("forgotten", False, "the model lost its use: it is worse"),
    ],
)
def test_it_stays_closed(
    word, usable, why, registered, erased, judge, tmp_path, monkeypatch, capsys
):
    world = registered.copied(tmp_path / "store", monkeypatch)
    judge(word, usable=usable)
    one = write_request(tmp_path / "request.csv", listed(PERSONS)[:3])
    line = ("--records", one, "--model", PRODUCTION, "--promote", "production")
    assert call(*line, "--method", "ga", "--epochs", 1) == 1
    files = bundle_of(world.store, newest_erasure(world.store).info.run_id).files
    (letter,) = (" ".join(one.decode().split()) for n, one in files.items() if "letter" in n)
    assert "the old model was not replaced, and no other one was taken out of use" in letter
    assert why in letter
    assert "all the same" not in letter
    assert "No model was replaced, and none was retired" in files["page.html"].decode()
    assert f"closed: {why}" in capsys.readouterr().out
    version = find_version(world.store, PRODUCTION)
    assert (version.number, version.aliases) == (1, ("production",))
    assert tags.RETIRED not in version.tags
    assert tags.RETIRED not in world.store.run(world.original).data.tags
    with refused("has no version 2"):
        find_version(world.store, SECOND)


@pytest.mark.parametrize(("word", "opens"), [("no_baseline", True), ("residual", False)])
def test_a_retrained_model_needs_no_baseline(
    word, opens, registered, judge, tmp_path, monkeypatch
) -> None:
    world = registered.copied(tmp_path / "store", monkeypatch)
    judge(word)
    one = write_request(tmp_path / "request.csv", listed(PERSONS)[:3])
    line = ("--records", one, "--model", PRODUCTION, "--promote", "production")
    assert call(*line) == (0 if opens else 1)
    assert newest_erasure(world.store).data.params["method"] == "retrain"
    assert production(world.store) == (2 if opens else 1)


def test_a_retired_original_brings_nothing_back(world: Erased, tmp_path, judge, capsys) -> None:
    judge("forgotten")
    other = write_request(tmp_path / "request.csv", [("", "2-two/*0001*")])
    line = ("--model", FIRST, "--promote", "production", "--method", "ga", "--epochs", 1)
    before = len(runs(world.store))
    assert call("--records", other, *line) == 2
    why = f"closed: its original is retired, and it holds records that erasure {world.first}"
    assert why in capsys.readouterr().err
    assert len(runs(world.store)) == before  # nothing was trained
    assert production(world.store) == 2
    # The same request once more, as after an attack with references, brings none back.
    again = ("--records", world.request, "--model", FIRST, "--policy", world.policy, *METHOD)
    assert call(*again, "--promote", "production") == 0
    assert production(world.store) == 2
    newest = find_version(world.store, PRODUCTION).tags[tags.EVIDENCE]
    assert newest != world.first
    first = predicate_of(world.store, newest)["limits"][0]
    assert first.startswith("This model was judged before, by the same thresholds: ")
    assert first.endswith(f"(erasure {world.first}).")


def test_an_alias_that_stands_for_another_version_by_now_is_left_alone(
    world: Erased, tmp_path: Path, judge: Callable[..., None], capsys, monkeypatch
) -> None:
    judge("forgotten")
    set_alias(world.store, MODEL, "canary", 1)
    other = write_request(tmp_path / "request.csv", [("", "2-two/*0001*")])
    line = ("--model", SECOND, "--promote", "canary", "--method", "ga", "--epochs", 1)
    with monkeypatch.context() as patch:  # as where it is moved while this erasure works
        patch.setattr(module, "refuse_in_vain", lambda *_: None)
        assert call("--records", other, *line) == 1
    why = f"closed: canary stands for {MODEL} version 1 (canary) by now"
    assert why in " ".join(capsys.readouterr().out.split())
    before = len(runs(world.store))
    assert call("--records", other, *line) == 2
    assert why in capsys.readouterr().err
    assert len(runs(world.store)) == before
    assert find_version(world.store, f"models:/{MODEL}@canary").number == 1


def test_an_alias_that_stands_for_a_retired_version_is_named(
    registered: World, judge, tmp_path, monkeypatch, capsys
) -> None:
    world = registered.copied(tmp_path / "store", monkeypatch)
    judge("forgotten")
    register(world.store, world.original, "gates")
    set_alias(world.store, "gates", "champion", 1)
    one = write_request(tmp_path / "request.csv", listed(PERSONS)[:3])
    line = ("--records", one, "--model", PRODUCTION, "--method", "ga", "--epochs", 1)
    assert call(*line) == 0
    said = " ".join(capsys.readouterr().out.split())
    for name, alias, new in (("gates", "champion", "NUMBER"), (MODEL, "production", "2")):
        assert f"{name} version 1 is retired, and {alias} stands for it" in said
        assert f"mu promote models:/{name}/{new} {alias}" in said
    assert call(*line, "--promote", "production") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "champion stands for it" in said
    assert "production stands for it:" not in said


# --- an alias is moved by hand ------------------------------------------------------------


def test_a_retired_version_is_refused_by_its_alias_and_taken_by_its_number(world: Erased) -> None:
    store = world.store
    with refused("faces version 1 holds records that erasure", "removed, so production"):
        promote(store, FIRST, "production")
    assert production(store) == 2
    set_alias(store, MODEL, "old", 1)
    with refused(f"models:/{MODEL}@old", "holds records that erasure", "mu promote"):
        mu.load_model(f"models:/{MODEL}@old")
    assert mu.load_model(FIRST) is not None
    assert mu.load_model(PRODUCTION) is not None


def test_what_is_said_of_a_run_holds_for_a_version_that_does_not_say_it(world: Erased) -> None:
    world.store.client.delete_model_version_tag(MODEL, "1", tags.RETIRED)
    with refused("faces version 1 holds records that erasure", "removed, so production"):
        promote(world.store, FIRST, "production")


def test_the_command_says_in_one_line_why_not(world: Erased, capsys) -> None:
    for version, status in ((FIRST, 2), (SECOND, 0)):
        with pytest.raises(SystemExit) as ended:
            run_command(lambda _: mu_command, ["promote", version, "staging"])
        assert ended.value.code == status
    said = capsys.readouterr()
    one_line(said.err, "faces version 1 holds records that erasure", "staging is not moved")
    assert said.out.startswith(f"staging stands for {SECOND}: the evidence of erasure")
    assert max(map(len, said.out.splitlines())) <= 80


def test_a_version_moves_with_its_evidence_alone(world: Erased) -> None:
    store = world.store
    done = promote(store, SECOND, "staging")
    start = f"staging stands for {SECOND}: the evidence of erasure {world.first} verifies"
    own = key_id(load_private_key(world.key).public_key())
    assert done == f"{start}; it is signed by key {own}, and nobody checked whose that is " + (
        "(--key PUBLIC.pem)"
    )
    assert find_version(store, f"models:/{MODEL}@staging").number == 2
    made = store.run(world.second).data.tags[tags.UPSTREAM]
    third = register(store, made, MODEL)
    with refused("staging is not moved", "the verdict is no_baseline"):  # of a gate that was closed
        promote(store, third.uri, "staging")
    retired = register(store, find_version(store, FIRST).run_id, "others")
    with refused("others version 1 holds records that erasure"):
        promote(store, retired.uri, "staging")


def test_a_key_that_was_given_must_have_signed(world: Erased, tmp_path: Path, capsys) -> None:
    store, strange = world.store, save_key(tmp_path / "strange.pem", new_key())
    own = load_private_key(world.key).public_key()
    given = public_name(world.key)

    def call_promote(version: str, *keys: Path) -> int:
        line = [word for key in keys for word in ("--key", str(key))]
        with pytest.raises(SystemExit) as ended:
            run_command(lambda _: mu_command, ["promote", version, "staging", *line])
        return int(ended.value.code or 0)

    assert call_promote(SECOND, strange) == 2
    why = f"the evidence is signed by key {key_id(own)}, and by no given one"
    one_line(capsys.readouterr().err, "staging is not moved", why)
    with refused("unknown alias", "'staging'"):
        find_version(store, f"models:/{MODEL}@staging")
    assert call_promote(SECOND, strange, given) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert said.endswith("verifies, signed by a given key")
    store.client.delete_tag(world.original, tags.RETIRED)
    plain = register(store, world.original, "plain")
    with refused("no erasure made it", "no evidence that a key could have signed"):
        promote(store, plain.uri, "staging", [own])


def test_evidence_that_nobody_signed(world: Erased, tmp_path: Path, judge, capsys) -> None:
    judge("forgotten")
    other, word = write_request(tmp_path / "request.csv", [("", "2-two/*0001*")]), "is not signed"
    assert call("--records", other, "--model", SECOND, "--method", "ga", "--epochs", 1) == 0
    assert f"its evidence verifies; it {word}" in " ".join(capsys.readouterr().out.split())
    third = f"models:/{MODEL}/3"
    with refused("staging is not moved", "the evidence is signed by nobody"):
        promote(world.store, third, "staging", [load_private_key(world.key).public_key()])
    assert f"it {word}, so anybody can have made it" in promote(world.store, third, "staging")


def test_evidence_of_another_model_is_refused(world: Erased) -> None:
    store = world.store
    third = register(store, store.run(world.second).data.tags[tags.UPSTREAM], MODEL)
    tag_version(store, MODEL, third.number, {tags.EVIDENCE: world.first})
    with refused("production is not moved", "its evidence is that of another checkpoint/"):
        promote(store, third.uri, "production")
    assert production(store) == 2


@pytest.mark.parametrize("place", [100, -100, 2000])
def test_damaged_evidence_is_refused(world: Erased, place: int) -> None:
    store = world.store
    with RunFiles(store, world.first).fetched("evidence.zip") as file:
        content = file.read_bytes()
    other = store.client.create_run(store.experiment_id).info.run_id
    damaged = flipped(content, place % len(content))
    RunFiles(store, other).put("evidence.zip", damaged)
    tag_version(store, MODEL, 2, {tags.EVIDENCE: other})
    with refused(f"evidence.zip of run {other} is damaged"):
        promote(store, SECOND, "staging")
    with refused("unknown alias", "'staging'"):
        find_version(store, f"models:/{MODEL}@staging")
