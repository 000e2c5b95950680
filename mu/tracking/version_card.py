"""What a registered model and its versions say of themselves: descriptions and tags."""

from __future__ import annotations

from collections.abc import Mapping

from mlflow.entities import Run as MlflowRun

from mu.tags import DATA, ENTRY, EVIDENCE, FORGET, MASK, ORACLE, RETIRED, UPSTREAM, WEIGHTS
from mu.tracking.view import run_path

# What a version's tags take over from its run.
KEPT_TAGS = (WEIGHTS, MASK, DATA, FORGET, UPSTREAM, ORACLE, ENTRY, EVIDENCE, RETIRED)
KEPT_PARAMS = ("method", "forget")
KEPT_METRICS = ("sparsity", "UA", "RA", "TA", "MIA", "ASR", "gap")
MOST_LETTERS = 5000  # of a description, in a database
# Of a registered model: how its versions are loaded and served.
ABOUT_MODEL = """Networks of mu's runs; each version says how it was made.

- In Python: `mu.load_model("models:/{name}@production")`, a torch module
- As a service: `mlflow models serve -m models:/{name}@production --env-manager local`
- In a further run: `mlflow run . -e unlearn -P prune_run_id=models:/{name}@production`

`{name}/1` instead of `{name}@production` names a version by its number.
"""


def version_tags(run: MlflowRun) -> dict[str, str]:
    """A version's tags: fingerprints, lineage, what was asked for, and numbers as they show."""
    tags, params, metrics = run.data.tags, run.data.params, run.data.metrics
    return {
        **{name: tags[name] for name in KEPT_TAGS if name in tags},
        **{name: params[name] for name in KEPT_PARAMS if name in params},
        **{name: f"{metrics[name]:g}" for name in KEPT_METRICS if name in metrics},
    }


def version_description(run: MlflowRun) -> str:
    """A version in a sentence, with its numbers and links to its runs; Markdown."""
    tags, params, metrics = run.data.tags, run.data.params, run.data.metrics
    numbers = [f"{name} {metrics[name]:g}" for name in KEPT_METRICS if name in metrics]
    source = "original" if "forget" in params and not _is_transfer(params) else "started from"
    own = tags.get(ENTRY, "run")
    runs = {own: run.info.run_id, source: tags.get(UPSTREAM), "oracle": tags.get(ORACLE)}
    experiment = run.info.experiment_id
    links = [f"- {r}: [{i}]({run_path(experiment, i)})" for r, i in runs.items() if i]
    parts = [_in_a_sentence(params, metrics), ", ".join(numbers), "\n".join(links)]
    return "\n\n".join(filter(None, parts))[:MOST_LETTERS]


def _in_a_sentence(params: Mapping[str, str], metrics: Mapping[str, float]) -> str:
    network = f"a `{params.get('arch', '?')}` on `{params.get('dataset', '?')}`"
    sparsity = metrics.get("sparsity", 0.0)
    network += f", {sparsity:.1f} % sparse" if sparsity else ", dense"
    if "forget" not in params:
        return f"**Original**: {network}."
    text = f"**{params.get('method', '?')}** made {network}, forget `{params['forget']}`."
    if _is_transfer(params):
        text += f" Then it was trained on for `{params['target']}`."
    return text


def _is_transfer(params: Mapping[str, str]) -> bool:
    return "tune" in params  # others may have ``target``, too: of an attack
