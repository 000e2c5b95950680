"""Run IDs that were shortened, made whole wherever one is named: tags and later runs name them so.

Words such as ``auto``, and IDs that are whole, cost no look into the store.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from mu.cli.requests import Request

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

    UserError if no run's ID begins so, or several do.
    """
    if not any(map(_SHORTENED.fullmatch, run_ids.split(","))):
        return run_ids
    from mu.tracking import connect

    store = lru_cache(connect)
    words = [word.strip() for word in run_ids.split(",")]
    return ",".join(store().full_id(one) if _SHORTENED.fullmatch(one) else one for one in words)


def _forget_set(text: str, name: str) -> str:
    """``vulnerable:30:ID`` with the whole ID."""
    if not any(map(_SHORTENED.fullmatch, text.split(":"))):
        return text
    from mu.data.forget_request import ForgetRequest

    run_id = ForgetRequest.parse(text, name).run_id or ""
    return text.replace(run_id, in_full(run_id))
