"""Names of registered models, and the addresses of their versions, as they may be typed."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from mu.errors import UserError

SCHEME = "models:/"
LONGEST = 200  # letters of a name
_NAME = re.compile(r"\w(?:[\w .-]*[\w-])?")  # what an address can hold
_ADDRESS = re.compile(
    rf"{SCHEME}(?P<name>[^/:]+?)(?:/(?P<number>\d{{1,9}}|latest)|@(?P<alias>[\w-]+))"
)
_ALIAS = re.compile(r"(?!(?:latest|v\d+)\Z)[\w-]{1,255}", re.IGNORECASE)


class Address(NamedTuple):
    """Which version of which registered model: by its number or its alias, or the newest one."""

    name: str
    number: int | None
    alias: str | None


def checked_model_name(option: str, name: Any) -> None:
    """UserError if a registered model cannot have that name; ``option`` is what it was given to."""
    if not _NAME.fullmatch(str(name)) or len(str(name)) > LONGEST:
        raise UserError(
            f"{option}={name!r} is no name of a registered model: give letters, digits, spaces, "
            f"'_', '-' and '.', such as digits-unlearned, at most {LONGEST}"
        )


def checked_alias(option: str, alias: str) -> None:
    """UserError if MLflow takes no such alias; ``option`` is what it was given to."""
    if not _ALIAS.fullmatch(alias):
        raise UserError(
            f"{option}={alias!r} is no alias: give letters, digits, '_' and '-', such as "
            "production, at most 255, and neither latest nor v and a number"
        )


def parsed_address(text: str) -> Address:
    """Of ``models:/NAME/VERSION``, ``models:/NAME/latest`` or ``models:/NAME@ALIAS``.

    UserError if it is none of these.
    """
    found = _ADDRESS.fullmatch(text.strip())
    if found is None:
        raise UserError(
            f"{text!r} names no version of a registered model; write models:/NAME/3 or "
            "models:/NAME@ALIAS"
        )
    number = found["number"]
    return Address(
        found["name"], int(number) if number and number != "latest" else None, found["alias"]
    )
