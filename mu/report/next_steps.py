"""Commands that go on from a finished run: its last lines, and those of ``mu show``."""

from __future__ import annotations

from collections.abc import Mapping
from shlex import quote


def next_steps(
    entry: str, run_id: str, versions: Mapping[str, str], forget: str = "class:0"
) -> dict[str, str]:
    """At most three commands by what they are for, of a run that holds a network.

    ``versions``: of registered models that the network is, in words, by address; with any, a line
    says so. ``forget``: what of an original may be forgotten.
    """
    steps = {"registered": ", ".join(versions.values())} if versions else {}
    address = next(iter(versions), None)
    if entry == "prune":
        command = f"mlflow run . -e unlearn -P prune_run_id={run_id} -P forget={forget}"
        steps["unlearn"] = command
    if entry in ("unlearn", "backdoor"):
        steps["compare"] = "mlflow run . -e compare"  # with all of the experiment
    served = address or f"runs:/{run_id}/checkpoint"
    return {
        **steps,
        "model": f'mu.load_model("{address or run_id}")',
        "serve": f"mlflow models serve -m {quote(served)} --env-manager local",
    }
