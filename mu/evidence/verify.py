"""What can be checked of a bundle by whoever has it: each check has a name, and says what is wrong.

All of it together shows that who has a key states this about these bytes, and that the numbers and
the verdict follow from the outputs and the thresholds in the bundle. It does not show that the
outputs are those of the models in use, nor that these forgot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from mu.errors import one_line
from mu.evidence.bundle import (
    CONTENTS,
    ENVELOPE,
    LOG,
    PUBLIC_KEY,
    STATEMENT,
    UNLISTED,
    Bundle,
    is_of_model,
    sha256,
)
from mu.evidence.differences import differences
from mu.evidence.dsse import verified
from mu.evidence.log import Log, difference, line_of, read_log
from mu.evidence.signing import PublicKey, key_id, read_public_key
from mu.evidence.statement import read_statement, read_subjects
from mu.readers.documents import read_json

CLOCK = timedelta(days=1)  # by which a clock may run ahead
IN_ORDER = (("request", "receivedAt"), ("action", "startedAt"), ("action", "unlearnedAt"))
MOST_NAMED = 5  # of the things that are wrong
RECORDS = "records.json"

Predicate = Mapping[str, Any]
# From a bundle's files and its predicate to `effect`, `verdict` and `records`, computed once more.
Recompute = Callable[[Mapping[str, bytes], Predicate], Mapping[str, Any]]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    detail: str


def checks(
    bundle: Bundle,
    *,
    keys: Sequence[PublicKey] = (),
    unsigned: bool = False,
    recompute: Recompute | None = None,
) -> Iterator[Check]:
    """Check a bundle, step by step; what rests on something that cannot be read is left out.

    Parameters
    ----------
    keys
        Public keys that each have to have signed it. Without them any key will do.
    unsigned
        Whether it may be without any signature.
    recompute
        Without it numbers, records and verdict are not checked.
    """
    try:
        subjects = read_subjects(bundle.files.get(STATEMENT, b""))
    except ValueError as error:
        yield _wrong("files", f"{STATEMENT} is missing or damaged: {error}")
        return
    yield _check("files", _files, bundle, subjects)
    yield _check("digests", _digests, bundle, subjects)
    try:
        predicate = read_statement(bundle.files[STATEMENT])[1]
        yield Check("statement", True, _about(predicate))
    except ValueError as error:
        predicate = {}
        yield _wrong("statement", f"{STATEMENT}: {error}")
    yield _check("signatures", _signatures, bundle, keys, unsigned)
    yield _check("log", _log, bundle)
    if predicate:
        yield _check("times", _times, predicate, datetime.now(UTC))
    if predicate and recompute is not None:
        yield from _recomputed(bundle, predicate, recompute)


def _check(name: str, look: Callable[..., str], *about: Any) -> Check:
    """What ``look`` says, or the ValueError by which it says what is wrong."""
    try:
        return Check(name, True, one_line(look(*about)))
    except ValueError as error:
        return _wrong(name, str(error))


def _wrong(name: str, text: str) -> Check:
    return Check(name, False, one_line(text))


def _refuse(wrong: Sequence[str]) -> None:
    """Raise what is wrong, if anything is."""
    if wrong:
        more = len(wrong) - MOST_NAMED
        raise ValueError("; ".join([*wrong[:MOST_NAMED], *([f"{more} more"] if more > 0 else [])]))


def _files(bundle: Bundle, subjects: Mapping[str, str]) -> str:
    listed = {name for name in subjects if not is_of_model(name)}
    needed = {*listed, *UNLISTED} - ({ENVELOPE} if PUBLIC_KEY not in listed else set())
    there = {*bundle.files}
    _refuse(
        [
            *(f"{name} is missing" for name in sorted(needed - there)),
            *(f"{name} is no part of the bundle" for name in sorted(there - needed)),
            *(f"the statement does not name {name}" for name in sorted({*CONTENTS} - listed)),
        ]
    )
    return f"{len(there)}, all that the statement names and none further"


def _digests(bundle: Bundle, subjects: Mapping[str, str]) -> str:
    listed = [name for name in subjects if name in bundle.files]
    _refuse(
        [
            f"{name} was changed (sha256 {found[:16]}..., {subjects[name][:16]}... is stated)"
            for name in listed
            if (found := sha256(bundle.files[name])) != subjects[name]
        ]
    )
    return f"{len(listed)} files are those of the statement: {', '.join(listed)}"


def _about(predicate: Predicate) -> str:
    request, action = predicate["request"], predicate["action"]
    return one_line(
        f"request {request['id']} ({request['kind']}), {predicate['effect']['forget']} records, "
        f"unlearned by {action['method']} at {action['unlearnedAt']}"
    )


def _signatures(bundle: Bundle, keys: Sequence[PublicKey], unsigned: bool) -> str:
    if ENVELOPE not in bundle.files:
        if PUBLIC_KEY in bundle.files:
            raise ValueError(f"{ENVELOPE} is missing, though there is a key: it was removed")
        if keys or not unsigned:
            accepts = "; only mu verify --unsigned accepts that"
            raise ValueError("it is not signed" + ("" if keys else accepts))
        return "not signed"
    try:
        payload, signers = verified(bundle.files[ENVELOPE], keys)
    except ValueError as error:
        raise ValueError(f"{ENVELOPE}: {error}") from error
    if payload != bundle.files[STATEMENT]:
        raise ValueError(f"{ENVELOPE} signs another statement than {STATEMENT}")
    if PUBLIC_KEY not in bundle.files:
        raise ValueError(f"{PUBLIC_KEY} is missing")
    own = key_id(read_public_key(bundle.files[PUBLIC_KEY]))
    if own != signers[0]:
        raise ValueError(f"{PUBLIC_KEY} is not the key that signed first, {signers[0]}")
    given = [key_id(one) for one in keys]
    words = [f"{one} ({'as given' if one in given else 'nobody said whose'})" for one in signers]
    return f"by key {' and '.join(words)}"


def _log(bundle: Bundle) -> str:
    return str(_log_of(bundle))


def _log_of(bundle: Bundle) -> Log:
    """The log of a bundle, as it was when the bundle's line was added."""
    try:
        log = read_log(bundle.files.get(LOG, b""))
    except ValueError as error:
        raise ValueError(f"{LOG}: {error}") from error
    if log.lines[-1] != line_of(bundle.files.get(STATEMENT, b"")):
        raise ValueError(f"{LOG}: its last line is not the sha256 of {STATEMENT}")
    signers = bundle.signers
    if signers and log.signer not in signers:
        raise ValueError(f"{LOG}: its root is not signed by a key that signed the statement")
    if not signers and log.signer is not None:
        raise ValueError(f"{LOG}: its root is signed, and the statement is not: it was removed")
    return log


def after_check(bundle: Bundle, older: Bundle) -> Check:
    """Whether the log of a bundle that was checked only grew since an older bundle was made."""

    def grown() -> str:
        try:
            before = _log_of(older)
        except ValueError as error:
            raise ValueError(f"the older bundle: {error}") from error
        if wrong := difference(_log_of(bundle).lines, before.lines):
            raise ValueError(f"the log was rewritten, or the bundles are of two logs: {wrong}")
        return f"the log begins with the older one, of {len(before.lines)}, and only grew"

    return _check("after", grown)


def _times(predicate: Predicate, now: datetime) -> str:
    moments = {f"{part}.{name}": predicate[part][name] for part, name in IN_ORDER}
    for (earlier, first), (later, second) in pairwise(moments.items()):
        if _moment(earlier, first) > _moment(later, second):
            raise ValueError(f"{earlier} {first} is after {later} {second}")
    for number, one in enumerate(predicate["scope"]["leftovers"]):
        if one["removedAt"] is not None:
            moments[f"scope.leftovers[{number}].removedAt"] = one["removedAt"]
    for place, text in moments.items():
        if _moment(place, text) > now + CLOCK:
            raise ValueError(f"{place} {text} is in the future: a clock runs ahead, there or here")
    return f"received {moments['request.receivedAt']}, in order, none in the future"


def _moment(place: str, text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{place} {text!r} is no time ({error})") from error


def _recomputed(bundle: Bundle, predicate: Predicate, recompute: Recompute) -> Iterator[Check]:
    """Numbers and records, and then the verdict, held against what comes out once more."""
    try:
        again = recompute(bundle.files, predicate)
        records = read_json(bundle.files[RECORDS])
    except Exception as error:  # the files are another's: whatever they hold, it is not right
        reason = str(error) or type(error).__name__
        yield _wrong("recomputed", f"the numbers cannot be computed: {reason}")
        return

    def numbers() -> str:
        apart = [
            *differences(again["effect"], predicate["effect"], "effect"),
            *differences(again["records"], records, RECORDS),
        ]
        _refuse(apart)
        return f"numbers and {len(records)} records come out of outputs.npz as stated"

    def verdict() -> str:
        _refuse([*differences(again["verdict"], predicate["verdict"], "verdict")])
        return f"{predicate['verdict']['word']}: {'; '.join(predicate['verdict']['reasons'])}"

    yield _check("recomputed", numbers)
    yield _check("verdict", verdict)
