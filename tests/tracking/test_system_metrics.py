"""MLflow's system metrics: logged where its variable is set, and never taken for results."""

import time

import pytest

from mu.tracking import Store, read_run, tracked


@pytest.mark.parametrize("wanted", ["true", "false"])
def test_they_are_logged_where_they_are_wanted(
    store: Store, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", wanted)
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")

    def logged(run_id: str) -> set[str]:
        return {name for name in store.run(run_id).data.metrics if name.startswith("system/")}

    with tracked(store, "prune", "a run") as recorder:
        recorder.metrics({"TA": 1.0})
        end = time.monotonic() + (30.0 if wanted == "true" else 0.3)
        while not logged(recorder.run_id) and time.monotonic() < end:
            time.sleep(0.05)
    assert bool(logged(recorder.run_id)) == (wanted == "true")
    assert read_run(store, recorder.run_id).metrics == {"TA": 1.0}
