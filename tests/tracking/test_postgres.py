"""PostgreSQL as the store: a real server, first users at once, many writers, and mistakes."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import pytest

from mu.tracking import connect, postgres
from mu.tracking.store import failure
from tests.helpers import refused
from tests.processes import PATIENCE, run_python
from tests.tracking.test_store import free_port

PASSWORD = "hunt/er'2"
# The children are forked where everything is imported already, so that they meet at the database.
AT_ONCE = """
import multiprocessing, sys
import git, mlflow.store.tracking.sqlalchemy_store, psycopg
from mu.tracking import connect, tracked

def work(uri, barrier, number):
    barrier.wait()
    with tracked(connect(uri), "prune", f"writer {number}") as recorder:
        recorder.params({"number": number})
        for step in range(40):
            recorder.metrics({"loss": number + step / 100}, step)

context = multiprocessing.get_context("fork")
for count in map(int, sys.argv[2:]):
    barrier = context.Barrier(count)
    children = [
        context.Process(target=work, args=(sys.argv[1], barrier, number)) for number in range(count)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join()
    print(*[child.exitcode for child in children])
"""


def test_a_driver_that_is_missing_is_one_line() -> None:
    error = ModuleNotFoundError("No module named 'psycopg'", name="psycopg")
    said = str(failure("postgresql://me:hunter2@host/base", error))
    assert "driver psycopg is not installed" in said
    assert said.endswith('pip install "mu-unlearning[postgres]"')
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ('FATAL:  database "runs" does not exist', "createdb runs"),
        ('FATAL:  password authentication failed for user "me"', "check user and password"),
        ("connection failed: Connection refused", "start it, or correct the URI"),
        ("canceling statement due to lock timeout", "end it"),
    ],
)
def test_what_the_database_says_gets_a_remedy(text: str, remedy: str) -> None:
    said = postgres.words_on(ValueError(f"(psycopg.OperationalError) {text}\n(Background: ...)"))
    assert said.startswith(text)
    assert remedy in said
    assert "Background" not in said


# --- a real server ------------------------------------------------------------------------


@dataclass(frozen=True)
class Server:
    """A server of the test's own, whose superuser has a password."""

    port: int
    programs: Path

    def uri(self, database: str, password: str = PASSWORD) -> str:
        return f"postgresql://me:{quote(password, safe='')}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str) -> str:
        command = [self.programs / "createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "me"]
        subprocess.run([*command, database], env=os.environ | {"PGPASSWORD": PASSWORD}, check=True)
        return self.uri(database)


def programs() -> Path:
    """Where the server's programs are; a skip that says why where there are none."""
    if find_spec("psycopg") is None:
        pytest.skip("psycopg is not installed")
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which("initdb", path=os.pathsep.join([*map(str, places), os.environ["PATH"]]))
    if found is None:
        pytest.skip("PostgreSQL is not installed (Debian's package postgresql)")
    return Path(found).resolve().parent


def owner() -> str | None:
    """Whom the server runs as: it refuses root."""
    if os.getuid() != 0:
        return None
    known = {one.pw_name for one in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in known)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    where, user = programs(), owner()
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # sockets have short names
    (folder / "password").write_text(PASSWORD)
    if user is not None:
        for path in (folder, folder / "password"):
            shutil.chown(path, user)

    def call(program: str, *arguments: str) -> None:
        subprocess.run(
            [where / program, "-D", folder / "data", *arguments], user=user, cwd=folder,
            stdout=subprocess.DEVNULL, check=True,
        )  # fmt: skip

    port = free_port()
    settings = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    try:
        call("initdb", "-U", "me", "-A", "scram-sha-256", f"--pwfile={folder / 'password'}")
        call("pg_ctl", "-o", settings, "-l", str(folder / "log"), "-w", "start")
        try:
            yield Server(port, where)
        finally:
            call("pg_ctl", "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)


@pytest.mark.slow
def test_eight_first_users_and_then_sixteen_writers_lose_nothing(
    server: Server, tmp_path: Path
) -> None:
    uri = server.create("fresh")
    done = run_python("-c", AT_ONCE, uri, "8", "16", cwd=tmp_path, timeout=8 * PATIENCE)
    assert done.stdout.split() == ["0"] * (8 + 16), done.stderr
    assert PASSWORD not in done.stderr
    store = connect(uri)
    runs = list(store.search(""))
    assert [run.info.status for run in runs] == ["FINISHED"] * 24
    wanted = sorted([*range(8), *range(16)])
    assert sorted(int(run.data.params["number"]) for run in runs) == wanted
    for run in runs:
        number = int(run.data.params["number"])
        history = store.client.get_metric_history(run.info.run_id, "loss")
        points = [(one.step, one.value) for one in sorted(history, key=lambda one: one.step)]
        assert len(points) == 40
        for step, value in points:
            assert value == pytest.approx(number + step / 100, abs=1e-3)


@pytest.mark.slow
def test_mistakes_are_one_line(server: Server) -> None:
    with refused('database "none" does not exist', "createdb none") as refusal:
        connect(server.uri("none"))
    assert PASSWORD not in refusal.message
    server.create("there")
    with refused("password authentication failed", "check user and password") as refusal:
        connect(server.uri("there", "wrong-word"))
    assert "wrong-word" not in refusal.message
    with refused("Connection refused", "start it"):
        connect(f"postgresql://me:x@127.0.0.1:{free_port()}/there")
