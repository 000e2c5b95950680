"""Commands that go on from a finished run: its last lines, and those of ``mu show``."""

from __future__ import annotations


def next_steps(entry: str, run_id: str, forget: str = "class:0") -> dict[str, str]:
    """At most three commands by what they are for, of a run that holds a network.

    ``forget``: what of an original may be forgotten.
    """
    steps = {}
    if entry == "prune":
        command = f"mlflow run . -e unlearn -P prune_run_id={run_id} -P forget={forget}"
        steps["unlearn"] = command
    if entry in ("unlearn", "backdoor"):
        steps["compare"] = "mlflow run . -e compare"  # with all of the experiment
    serve = f"mlflow models serve -m runs:/{run_id}/checkpoint --env-manager local"
    return {**steps, "model": f'mu.load_model("{run_id}")', "serve": serve}
