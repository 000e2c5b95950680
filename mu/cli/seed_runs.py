"""Old names, until tasks import them from where they are."""

from mu.alike import check_alike, check_ids
from mu.run_record import RunRecord
from mu.tracking import Store, read_each

__all__ = ["check_alike", "check_ids", "fetch_seed_run"]


def fetch_seed_run(store: Store, run_id: str) -> RunRecord:
    """What is compared of a run."""
    return read_each(store, [run_id])[0]
