"""MLflow's system metrics of a run (processor, memory, disk, network, GPU), if they are wanted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mlflow.environment_variables import MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING

from mu.distributed.place import place
from mu.tracking.store import Store

PREFIX = "system/"  # of their names


@contextmanager
def system_metrics(store: Store, run_id: str, *, resumed: bool) -> Iterator[None]:
    """Log them while the block runs, if MLflow's own variable for it is set.

    ``resumed``: their steps go on where those of the run ended. What cannot be logged is left out:
    MLflow says so, and no run depends on it.
    """
    if not MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING.get() or not place().is_first:
        yield
        return
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(run_id, resume_logging=resumed, tracking_uri=store.uri)
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()
