"""Models that hold erased records are marked as not to be used, as the evidence decided."""

from __future__ import annotations

from mu.errors import UserError
from mu.evidence.bundle import BUNDLE_FILE, STATEMENT, Bundle
from mu.evidence.statement import read_statement
from mu.run_record import RunRecord
from mu.tags import RETIRED
from mu.tracking import Store
from mu.tracking.artifacts import read
from mu.tracking.registered import tag_version, versions_of


def retire(store: Store, bundle: Bundle, erasure: str) -> None:
    """Mark every model that holds the records as not to be used, with its registered versions.

    All but the new one, by what the evidence decided on each. Twice does no harm.
    """
    _, found = read_statement(bundle.files[STATEMENT])
    new = found["action"]["model"]["runId"]
    for one in found["scope"]["models"]:
        if one["decision"] in ("unlearn", "retire") and one["runId"] != new:
            store.client.set_tag(one["runId"], RETIRED, erasure)
            for version in versions_of(store, [one["runId"]]):
                tag_version(store, version.name, version.number, {RETIRED: erasure})


def finish(store: Store, erasure: RunRecord) -> bool:
    """Do what is left of an erasure that was stopped after its gate opened; whether it was."""
    if erasure.status == "FINISHED":
        return False
    with store.alone():
        retire(store, stored(store, erasure.run_id), erasure.run_id)
    return True


def stored(store: Store, erasure: str) -> Bundle:
    """The bundle of an erasure."""
    try:
        return Bundle.of_zip(read(store, store.run(erasure), BUNDLE_FILE))
    except ValueError as error:
        raise UserError(f"{BUNDLE_FILE} of run {erasure} is damaged: {error}") from error
