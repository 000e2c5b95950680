"""The gate: which version an alias may stand for, and which models are not to be used any more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from mu.erasure.effect import recompute
from mu.erasure.verdict import CLOSED, FORGOTTEN, NO_BASELINE, OPEN
from mu.errors import UserError
from mu.evidence.bundle import MODEL, STATEMENT, Bundle
from mu.evidence.signing import PublicKey, key_id
from mu.evidence.statement import read_statement
from mu.evidence.verify import checks
from mu.methods import ORACLE_METHOD
from mu.model_names import SCHEME
from mu.tags import DATA, ENTRY, EVIDENCE, GATE, RETIRED, fingerprint_tag
from mu.tasks.erase.plan import ErasePlan
from mu.tasks.erase.retire import retire, stored
from mu.tasks.erase.statement import file_digests
from mu.tracking import Store, records
from mu.tracking.registered import (
    Version,
    find_version,
    register,
    set_alias,
    tag_version,
)


@dataclass(frozen=True)
class Gate:
    """Whether the new model may be used in place of the old one, and what was done about it."""

    word: str  # OPEN or CLOSED
    text: str
    version: Version | None = None

    @property
    def passed(self) -> bool:
        """Whether the new model may be used."""
        return self.word == OPEN

    def __str__(self) -> str:
        return f"{self.word}: {self.text}"


def open_gate(plan: ErasePlan, run_id: str, erasure: str, bundle: Bundle) -> Gate:
    """Register the new model and move the alias, if the evidence verifies and its verdict allows.

    ``run_id``: of the unlearning; ``erasure``: of the erasure.
    """
    store, keys = plan.store, [] if plan.key is None else [plan.key.public_key()]
    _, found = read_statement(bundle.files[STATEMENT])
    why = found["action"]["closed"] or refusal(bundle) or _strange(bundle, keys)
    with store.alone():  # another erasure may be at its gate, too
        if not why and (why := _not_to_be_used(plan, run_id)):
            why += "; page and letters could not know that: do not send them, start again"
        _tell(store, run_id, erasure, CLOSED if why else OPEN)
        if why:
            return Gate(CLOSED, why)
        # The alias comes last: once it is moved, nothing is left to do for who starts again.
        retire(store, bundle, erasure)
        if plan.version is None:
            return Gate(OPEN, f"the evidence verifies{_signed(bundle, keys)} (no registered model)")
        version, text = _registered(plan, plan.version, run_id, erasure)
        return Gate(OPEN, f"{text}; its evidence verifies{_signed(bundle, keys)}", version)


def refuse_in_vain(plan: ErasePlan, done: str | None) -> None:
    """UserError where an alias is to be moved, and the gate is certain to stay closed.

    ``done``: the run that did the unlearning before, if there is one.
    """
    if plan.options.promote is None:
        return
    why = _brought_back(plan) if done is None else _not_to_be_used(plan, done)
    if why := why or _overtaken(plan, done or ""):
        raise UserError(f"promote={plan.options.promote}: the gate would stay closed: {why}")


def foreseen(plan: ErasePlan, run_id: str, verdict: Mapping[str, Any]) -> str:
    """Why the gate will stay closed, for the evidence to say; empty if it is to open."""
    return _failed(verdict, retrained=plan.retrains) or _not_to_be_used(plan, run_id)


def _not_to_be_used(plan: ErasePlan, run_id: str) -> str:
    """Why the store forbids that the new model takes the old one's place; empty if it does not."""
    store = plan.store
    return _brought_back(plan) or _retired(store, run_id) or _overtaken(plan, run_id)


def _tell(store: Store, run_id: str, erasure: str, word: str) -> None:
    """Write down whether the gate is open, with the erasure and with the unlearning."""
    store.client.set_tag(erasure, GATE, word)
    for name, value in {GATE: word, EVIDENCE: erasure}.items():
        store.client.set_tag(run_id, name, value)


def _registered(plan: ErasePlan, old: Version, run_id: str, erasure: str) -> tuple[Version, str]:
    """Make the model a version, and move the alias if one was named; says what was done."""
    name, alias = old.name, plan.options.promote
    version = register(plan.store, run_id, name)
    tag_version(plan.store, name, version.number, {EVIDENCE: erasure})
    text = f"{name} version {version.number} is registered"
    if alias is not None:
        set_alias(plan.store, name, alias, version.number)
        text += f", and {alias} stands for it"
    elif old.aliases:
        shown = ", ".join(old.aliases)
        text += f"; {shown} still stands for version {old.number} (-P promote=ALIAS)"
    return version, text


def passing(*, retrained: bool) -> tuple[str, ...]:
    """Verdicts that let a model pass.

    One that was trained without the records needs no proof that the original knew them.
    """
    return (FORGOTTEN, NO_BASELINE) if retrained else (FORGOTTEN,)


def refusal(bundle: Bundle) -> str:
    """Why a bundle does not let its model pass, whoever signed it; empty if it does."""
    for check in checks(bundle, unsigned=True, recompute=recompute):
        if not check.ok:
            return f"the evidence does not verify ({check.name}: {check.detail})"
    _, found = read_statement(bundle.files[STATEMENT])
    return _failed(found["verdict"], retrained=found["action"]["method"] == ORACLE_METHOD)


def _failed(verdict: Mapping[str, Any], *, retrained: bool) -> str:
    """Why a verdict does not let its model pass; empty if it does."""
    if verdict["word"] not in passing(retrained=retrained):
        return f"the verdict is {verdict['word']}"
    if not verdict["usable"]:
        return f"the model lost its use: {verdict['reasons'][-1]}"  # what was lost stands last
    return ""


def _strange(bundle: Bundle, keys: Sequence[PublicKey]) -> str:
    """Why a bundle is not by one of the keys; empty if it is, or none is given."""
    signers = bundle.signers
    if not keys or {*signers} & {*map(key_id, keys)}:
        return ""
    by = f"by key {' and '.join(signers)}, and by no given one" if signers else "by nobody"
    return f"the evidence is signed {by}"


def _signed(bundle: Bundle, keys: Sequence[PublicKey]) -> str:
    """What is known of who signed a bundle that may pass."""
    if keys:
        return ", signed by the given key" if len(keys) == 1 else ", signed by a given key"
    if not (signers := bundle.signers):
        return "; it is not signed, so anybody can have made it"
    return f"; it is signed by key {' and '.join(signers)}, and nobody checked whose that is"


def _retired(store: Store, run_id: str) -> str:
    """Why a model is not to be used, since another erasure found its records in it."""
    erasure = store.run(run_id).data.tags.get(RETIRED)
    return f"erasure {erasure} retired it meanwhile; erase the records of both" if erasure else ""


def _overtaken(plan: ErasePlan, run_id: str) -> str:
    """Why the alias is not this erasure's to move any more; empty if it is."""
    alias, started = plan.options.promote, plan.version
    if alias is None or started is None:
        return ""
    address = f"{SCHEME}{started.name}@{alias}"
    with suppress(UserError):  # there is no such alias yet
        now = find_version(plan.store, address)
        if now.number != started.number and now.run_id != run_id:
            return (
                f"{alias} stands for {now} by now, and this erasure started from version "
                f"{started.number}; erase the records from {address}"
            )
    return ""


def _brought_back(plan: ErasePlan) -> str:
    """Why the new model would bring back what was removed before; empty if it does not.

    It can where a retired model was named: it holds what other requests were about.
    """
    if RETIRED not in plan.store.run(plan.model.run_id).data.tags:
        return ""
    held = np.setdiff1d(plan.model.spec().split(plan.dataset).train, plan.split.forget)
    same = {ENTRY: "erase", GATE: OPEN, DATA: fingerprint_tag(plan.dataset.fingerprint)}
    for one in records(plan.store, same):
        if one.upstream is not None and np.isin(one.upstream.forget_indices, held).any():
            return (
                f"its original is retired, and it holds records that erasure {one.run_id} removed; "
                "name the model in use, or those records, too"
            )
    return ""


def promote(store: Store, address: str, alias: str, keys: Sequence[PublicKey] = ()) -> str:
    """Let an alias stand for a version; says what was done.

    ``keys``: of which one must have signed the version's evidence; without any, any will do, and
    none. UserError that says why not, if an erasure retired the version, or its evidence does not
    hold.
    """
    version = find_version(store, address)
    told = {**store.run(version.run_id).data.tags, **version.tags} if version.run_id else {}
    if erasure := told.get(RETIRED):
        raise UserError(
            f"{version} holds records that erasure {erasure} removed, so {alias} is not moved to "
            "it; take a version that was made without them"
        )
    if keys and EVIDENCE not in told:
        raise UserError(
            f"{alias} is not moved to {version}: no erasure made it, so there is no evidence that "
            "a key could have signed; take a version of an erasure, or leave --key out"
        )
    text = "no erasure made it, so there is no evidence to check"
    if erasure := told.get(EVIDENCE):
        bundle = stored(store, erasure)
        if why := refusal(bundle) or _of_another(store, version, bundle):
            raise UserError(f"{alias} is not moved to {version}: {why}; erase the records again")
        if why := _strange(bundle, keys):
            raise UserError(
                f"{alias} is not moved to {version}: {why}; give the public key of who should "
                "have signed it, or erase the records again with -P key=FILE"
            )
        unchecked = "" if keys else " (--key PUBLIC.pem)"
        text = f"the evidence of erasure {erasure} verifies{_signed(bundle, keys)}{unchecked}"
    set_alias(store, version.name, alias, version.number)
    return f"{alias} stands for {version.uri}: {text}"


def _of_another(store: Store, version: Version, bundle: Bundle) -> str:
    """Why the evidence is not that of this version's files; empty if it is."""
    subjects, _ = read_statement(bundle.files[STATEMENT])
    there = file_digests(store, version.run_id)
    wrong = [path for path, digest in there.items() if subjects.get(MODEL + path) != digest]
    return f"its evidence is that of another {wrong[0]}" if wrong else ""
