"""PostgreSQL as the store: its first users one after another."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

LOCK = 0x6D75_7374_6F72_65  # an arbitrary number; MLflow takes no such locks
EXTRA = 'pip install "mu-unlearning[postgres]"'
_REMEDIES = {
    r'database "(.+)" does not exist': "create it: createdb {0}",
    r"password authentication failed|no password supplied": "check user and password of the URI",
    r"lock timeout": "another process has been creating the tables for long; end it",
    r"Connection refused|could not translate|timeout expired": "start it, or correct the URI",
}


@contextmanager
def alone(uri: str, seconds: int) -> Iterator[None]:
    """A block that one process at a time is in, of all that use the database.

    MLflow creates its tables where they are missing, and two processes at once do it twice. The
    lock ends with its transaction, so whoever dies leaves none. A database that cannot be used is
    found out here at once: MLflow tries it again for minutes, with a page of text each time.
    """
    engine = create_engine(uri, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text(f"SET LOCAL lock_timeout = '{seconds}s'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
        yield


def words_on(error: Exception) -> str:
    """Why the database cannot be used, and what to do about it."""
    if isinstance(error, ModuleNotFoundError):
        return f"its driver {error.name} is not installed; {EXTRA}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    why = next((line for line in lines if "FATAL" in line), lines[0] if lines else repr(error))
    why = re.sub(r"^\(\S+\) ", "", why)[:200]
    for pattern, remedy in _REMEDIES.items():
        if found := re.search(pattern, why):
            return f"{why}; {remedy.format(*found.groups())}"
    return why
