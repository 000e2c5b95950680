"""Numbers, parameters, tags and data sets of a run on their way to the store."""

from __future__ import annotations

from collections.abc import Callable

from mlflow.entities import DatasetInput, Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from mu.tracking.store import Store

BATCH = 1000
REFUSALS = ("INVALID_PARAMETER_VALUE", "ENDPOINT_NOT_FOUND", "NOT_IMPLEMENTED")
Entity = Metric | Param | RunTag | DatasetInput


class Teller:
    """Tells a run what waits to be told, a batch a request.

    ``refused``: called with what the store refuses for good, where the run can do without.
    ``fresh``: whether nobody else has told the run anything.
    """

    def __init__(
        self,
        store: Store,
        run_id: str,
        refused: Callable[[str, Exception], None],
        *,
        fresh: bool = False,
    ) -> None:
        self._client, self._run_id, self._refused = store.client, run_id, refused
        # Parameters that MLflow's launcher has logged; None: not looked up yet.
        self._present: set[str] | None = set() if fresh else None

    def tell(self, waiting: list[Entity]) -> None:
        """Tell the run all of that, and remove from the list what it was told."""
        while batch := waiting[:BATCH]:
            self._tell_inputs([one for one in batch if isinstance(one, DatasetInput)])
            params = {one.key: one for one in batch if isinstance(one, Param)}
            if params and self._present is None:
                self._present = set(self._client.get_run(self._run_id).data.params)
            self._client.log_batch(
                self._run_id,
                metrics=[one for one in batch if isinstance(one, Metric)],
                params=[one for name, one in params.items() if name not in (self._present or ())],
                tags=list({one.key: one for one in batch if isinstance(one, RunTag)}.values()),
            )
            del waiting[: len(batch)]
            if self._present is not None:
                self._present |= params.keys()

    def _tell_inputs(self, inputs: list[DatasetInput]) -> None:
        try:
            if inputs:
                self._client.log_inputs(self._run_id, datasets=inputs)
        except MlflowException as error:
            if error.error_code not in REFUSALS:
                raise
            self._refused("the data set could not be logged", error)
