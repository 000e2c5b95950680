"""A password in the address of a store is shown nowhere."""

from __future__ import annotations

import pytest
from mlflow.exceptions import MlflowException

from mu.tracking import Store, browse, connect, run_url, tracked, view_url
from mu.tracking.address import hidden, shown
from mu.tracking.store import failure, reason
from tests.commands import call
from tests.helpers import refused
from tests.tracking.test_recorder import raised, the_run
from tests.tracking.test_store import free_port

SECRET = "s3cr/et'word"
PAIRS = {
    "sqlite:////home/me@work/mlflow.db": "sqlite:////home/me@work/mlflow.db",
    "http://host:5000/a@b": "http://host:5000/a@b",
    "http://me:hunter2@host:5000": "http://host:5000",
    "https://token@host/path?x=1": "https://host/path?x=1",
    "postgresql://me@host/base": "postgresql://host/base",
    "postgresql+psycopg://me:s3cr%2Fet@host:5432/base": "postgresql+psycopg://host:5432/base",
    f"postgresql://me:{SECRET}@host/base": "postgresql://host/base",
    "postgresql://host/base?password=hunter2&sslmode=require": (
        "postgresql://host/base?password=***&sslmode=require"
    ),
    "mysql+pymysql://me:hunter2@host/base?ssl_key=/k": "mysql+pymysql://host/base?ssl_key=***",
}


@pytest.mark.parametrize("uri", PAIRS)
def test_an_address(uri: str) -> None:
    assert shown(uri) == PAIRS[uri]
    assert shown(shown(uri)) == shown(uri)


@pytest.mark.parametrize("uri", [uri for uri, safe in PAIRS.items() if uri != safe])
@pytest.mark.parametrize(
    "text", ["no answer from {}", "cannot parse '{}'", "connecting to {}/x failed; the host is {}"]
)
def test_an_error_that_quotes_the_address(uri: str, text: str) -> None:
    error = MlflowException(text.format(uri, uri))
    for said in (
        hidden(str(error), uri),
        reason(uri, ValueError(str(error))),
        str(failure(uri, error)),
    ):
        for word in ("hunter2", "s3cr", SECRET, "token@", "=/k"):
            assert word not in said


def test_a_password_alone_in_an_error_is_hidden() -> None:
    uri = "postgresql://me:hunter2%21@host/base"
    said = hidden("tried password 'hunter2!' and hunter2%21", uri)
    assert said == "tried password '***' and ***"


@pytest.fixture
def secretive(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The test's store, as one whose address has a password."""
    return Store(store.client, "postgresql://me:hunter2@host/base", store.experiment_id)


def test_what_a_run_leaves_and_prints(secretive: Store, capsys: pytest.CaptureFixture[str]) -> None:
    with raised(MlflowException), tracked(secretive, "prune", "x"):
        raise MlflowException(f"lost the connection to {secretive.uri}")
    run = the_run(secretive)
    assert "hunter2" not in str(run.to_dictionary())
    assert "postgresql://host/base" in run.data.tags["mu.error"]
    with refused("postgresql://host/base") as refusal:
        secretive.run("0" * 32)
    said = [refusal.message, capsys.readouterr().err, browse(secretive, "mu-unlearn")]
    said += [view_url(secretive.uri, "0", "x"), run_url("http://me:hunter2@host", "0", "x")]
    assert "hunter2" not in "".join(said)
    assert '--backend-store-uri "$MLFLOW_TRACKING_URI"' in said[2]


def test_the_doctor(
    secretive: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mu.tracking.connect", lambda: secretive)
    assert call("mu", "doctor") == 0
    said = capsys.readouterr().out
    assert "store postgresql://host/base, experiment 0" in said
    assert "hunter2" not in said


def test_a_server_that_is_down() -> None:
    with refused(f"127.0.0.1:{(port := free_port())}") as refusal:
        connect(f"http://me:hunter2@127.0.0.1:{port}")
    assert "hunter2" not in refusal.message
