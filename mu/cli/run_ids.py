"""Run IDs that were shortened, or typed as versions of registered models, made whole wherever one
is named: tags and later runs name them so.

Words such as ``auto``, and IDs that are whole, cost no look into the store.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

from mu.cli.requests import Request
from mu.model_names import SCHEME

NAMES = ("run_id", "run_ids", "parent")  # how settings end that name runs
LISTS = ("suspects:", "vulnerable:")  # how a forget set begins that names one
_SHORTENED = re.compile(r"\s*[0-9a-f]{4,31}\s*")


def whole_request(request: Request) -> Request:
    """The request, with whole IDs in all its groups; errors as of :func:`in_full`."""
    return Request(**with_whole_ids(vars(request)))


def with_whole_ids(value: Any, name: str = "") -> Any:
    """A setting, or settings by name, or a list of either, with whole IDs.

    ``name``: of the setting. Errors as of :func:`in_full`.
    """
    if isinstance(value, Mapping):
        return {key: with_whole_ids(one, str(key)) for key, one in value.items()}
    if isinstance(value, list):
        return [with_whole_ids(one, name) for one in value]
    if not isinstance(value, str):
        return value
    if name.endswith(NAMES):
        return in_full(value)
    return _forget_set(value, name) if value.startswith(LISTS) else value


def in_full(run_ids: str) -> str:
    """Run IDs, with commas between them, of which some may be shortened; words stay as they are.

    ``models:/NAME/VERSION`` and ``models:/NAME@ALIAS`` are the run that made the version; a line
    says which. UserError as of :func:`mu.tracking.registered.run_of`.
    """
    words = [word.strip() for word in run_ids.split(",")]
    if not any(map(_is_unclear, words)):
        return run_ids
    from mu.tracking import connect, run_of

    store, found = lru_cache(connect), []
    for word in words:
        found.append(run_of(store(), word) if _is_unclear(word) else word)
        if word.startswith(SCHEME):
            _say_once(f"{word}: run {found[-1]}")
    return ",".join(found)


def _is_unclear(word: str) -> bool:
    return word.startswith(SCHEME) or _SHORTENED.fullmatch(word) is not None


@cache
def _say_once(line: str) -> None:
    """Say it, if this process has not said it before."""
    from mu.report.console import say

    say(line, error=True)


def _forget_set(text: str, name: str) -> str:
    """``vulnerable:30:ID`` with the whole ID."""
    if not any(map(_SHORTENED.fullmatch, text.split(":"))):
        return text
    from mu.data.forget_request import ForgetRequest

    run_id = ForgetRequest.parse(text, name).run_id or ""
    return text.replace(run_id, in_full(run_id))
