"""Ready-made runs tables and charts for MLflow's web page, kept as tags of the experiment.

MLflow 3 opens an experiment in its generative-AI mode, with no metric or parameter column and
with nested runs folded away. A saved view brings the right columns, order and filter. It can be
opened by link (`view_url`) or from the page's own menu "Views".

No Python interface writes such a view and the tag's format is undocumented: it was read from the
page's scripts in MLflow 3.17.2. So this is best effort. A page that does not know the format
shows its ordinary table, and no run depends on it. Two quirks of that version: reloading the page
keeps order and filter but drops the columns (open the link again), and a view picked from the
menu has its columns, but not in their order.
"""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlsplit

from mlflow.exceptions import MlflowException

from mu.errors import UserError
from mu.tags import ENTRY
from mu.tracking.address import shown
from mu.tracking.charts import MODE as CHARTS
from mu.tracking.charts import Bars, Chart, Parallel, Scatter, averaged, charts_state
from mu.tracking.store import Store

TAG_PREFIX: Final = "mlflow.sharedViewState."
KIND: Final = "custom_model_development"  # what MLflow calls experiments that train models
MODE: Final = "workflowType=machine_learning"
LOCAL_SERVER: Final = "http://127.0.0.1:5000"  # where `mlflow server` listens unless told

# The page nests runs, and folds them, exactly when they are sorted by `attributes.start_time`.
# The server takes this older spelling for the same column, and the page then leaves runs flat.
START_TIME: Final = "attributes.`Created`"
_ENTRY: Final = f'tags."{ENTRY}"'


@dataclass(frozen=True)
class View:
    """One saved table: which runs it shows, its columns and their order, and its charts."""

    key: str
    shows: str  # a filter in MLflow's search syntax
    metrics: tuple[str, ...]
    params: tuple[str, ...]
    order_by: str
    ascending: bool
    title: str  # in the menu "Views"
    charts: tuple[Chart, ...]
    averaged_by: tuple[str, ...] = ()  # parameters; runs that agree in them are one row

    @property
    def columns(self) -> list[str]:
        """The page's names of the chosen columns; those that no run has logged stay hidden."""
        return [f"params.`{n}`" for n in self.params] + [f"metrics.`{n}`" for n in self.metrics]

    def state(self) -> dict[str, Any]:
        """What the page restores; fields that are left out keep its defaults."""
        return {
            "searchFilter": self.shows,
            "orderByKey": self.order_by,
            "orderByAsc": self.ascending,
            "selectedColumns": self.columns,
            # Without an order of its own the page sorts columns by name, metrics first.
            "columnOrder": ["attributes.`Run Name`", "runDateAndNestInfo", *self.columns],
            # Pixels: `random:10%` and `train_acc` just fit, so that most columns are seen at once.
            "columnWidths": {n: 110 if n.startswith("params.") else 78 for n in self.columns},
            **charts_state(self.key, self.charts),
            **(averaged(*self.averaged_by) if self.averaged_by else {}),
        }


# Whatever unlearnt something, by whichever entry point, and not what measured it again or went on
# from it.
_UNLEARNINGS: Final = f'metrics.UA >= 0 and {_ENTRY} != "evaluate" and {_ENTRY} != "transfer"'
_JUDGED: Final = (
    Bars("gap", "Gap to the oracle, points: lower is better"),
    Scatter("UA", "TA", "What is forgotten against what is kept: UA and TA, %"),
    Scatter("RTE", "gap", "Gap, points, against the seconds of unlearning"),
    Bars("depth", "Depth, % of the oracle's: higher is harder to bring back"),
    Parallel(("method", "prune_rate"), ("UA", "RA", "TA", "MIA", "gap"), "Every run"),
)

VIEWS: Final[tuple[View, ...]] = (
    View(
        key="mu-unlearn",
        shows=_UNLEARNINGS,
        # What runs are judged by comes first: on a narrow page the last columns are out of sight.
        metrics=("gap", "UA", "RA", "TA", "MIA", "sparsity", "RTE", "ASR"),
        params=("method", "forget"),
        order_by="metrics.`gap`",
        ascending=True,
        title="Unlearning, smallest gap first",
        charts=_JUDGED,
    ),
    View(
        key="mu-average",
        shows=_UNLEARNINGS,
        metrics=("gap", "UA", "RA", "TA", "MIA", "depth", "RTE"),
        params=(),
        order_by="metrics.`gap`",
        ascending=True,
        title="Unlearning, averaged over seeds: methods, dense beside sparse",
        charts=_JUDGED[:-1],
        averaged_by=("method", "prune_rate", "preset", "forget"),
    ),
    View(
        key="mu-backdoor",
        shows=f'metrics.ASR >= 0 and {_ENTRY} != "evaluate"',
        metrics=("ASR_before", "ASR", "TA", "robust_acc", "sparsity", "UA", "RA", "MIA", "RTE"),
        params=("method", "trigger", "poison"),
        order_by="metrics.`ASR`",
        ascending=True,
        title="Backdoors, least success first",
        charts=(
            Bars("ASR", "Success of the attack after unlearning, %"),
            Scatter("ASR", "TA", "Success of the attack against TA, %"),
            Parallel(("trigger", "poison"), ("sparsity", "ASR_before", "ASR", "TA"), "Every run"),
        ),
    ),
    View(
        key="mu-transfer",
        shows=f'{_ENTRY} = "transfer"',
        metrics=(
            *("target_acc_before", "target_acc", "target_acc_oracle"),
            *("target_gain", "target_gain_lo", "target_gain_hi", "UA", "RA", "TA", "sparsity"),
        ),
        params=("target", "tune", "method", "forget"),
        order_by="metrics.`target_gain`",
        ascending=False,
        title="Transfer, largest gain first",
        charts=(
            Bars("target_gain", "Gain on the target, points"),
            Scatter("UA", "target_acc", "What is forgotten against accuracy on the target, %"),
        ),
    ),
    View(
        key="mu-prune",
        shows=f'{_ENTRY} = "prune"',
        metrics=("TA", "sparsity", "train_acc", "VA", "train_s"),
        params=("dataset", "arch", "profile", "pruner", "rate", "rounds"),
        order_by=START_TIME,
        ascending=False,
        title="Pruning, newest first",
        charts=(
            Scatter("sparsity", "TA", "TA over sparsity, %"),
            Bars("TA", "TA, %"),
            Parallel(("pruner",), ("sparsity", "train_acc", "TA", "train_s"), "Every run"),
        ),
    ),
)


def experiment_tags() -> dict[str, str]:
    """The tags, name to value, that give an experiment all views (undocumented, best effort).

    Every call returns the same tags, so setting them again changes nothing.
    """
    # The menu lists the newest view first, so the first of VIEWS gets the latest "time".
    found = {}
    for view, created_at in zip(VIEWS, range(len(VIEWS), 0, -1), strict=True):
        state = base64.b64encode(zlib.compress(_compact(view.state()).encode())).decode()
        value = {"name": view.title, "createdAt": created_at, "state": f"deflate;{state}"}
        found[f"{TAG_PREFIX}{view.key}"] = _compact(value)
    return found


def experiment_description(experiment_id: str) -> dict[str, str]:
    """The tags that say what an experiment is, for one that says nothing yet.

    Views are linked relative to the server, wherever that is.
    """
    lines = [
        "Original models, what they were made to forget, and how near each came to its **oracle**, "
        "a model retrained without the forgotten data: the smaller the gap, the better.",
        "",
        *(
            f"- [{view.title}](#{_view_path(experiment_id, view.key)}), "
            f"[charts](#{_view_path(experiment_id, view.key)}&{CHARTS})"
            for view in VIEWS
        ),
        "",
        "UA: 100 - accuracy on the forget set. RA, TA: accuracy on the retain and the test set. "
        "MIA: share of the forget set that an attack calls non-member. `mu metrics` says what "
        "every number is.",
    ]
    return {"mlflow.note.content": "\n".join(lines), "mlflow.experimentKind": KIND}


def give_views(store: Store) -> None:
    """Give the experiment its saved views, and a description where it has none.

    A store that refuses costs only these.
    """
    try:
        present = store.client.get_experiment(store.experiment_id).tags
        about = experiment_description(store.experiment_id)
        missing = {name: value for name, value in about.items() if name not in present}
        for name, value in {**experiment_tags(), **missing}.items():
            if present.get(name) != value:
                store.client.set_experiment_tag(store.experiment_id, name, value)
    except MlflowException:
        return


def view_url(tracking_uri: str, experiment_id: str, key: str) -> str:
    """The address of a view: on the tracking server, or on a local one for a local store.

    Machine-learning mode comes from the address alone: MLflow 3.17.2 stores the mode in the
    browser and ignores the experiment's tag `mlflow.experimentKind`.
    """
    return f"{_server(tracking_uri)}/#{_view_path(experiment_id, key)}"


def _view_path(experiment_id: str, key: str) -> str:
    return f"/experiments/{experiment_id}/runs?{MODE}&viewStateShareKey={key}"


def run_url(tracking_uri: str, experiment_id: str, run_id: str, artifact: str = "") -> str:
    """The address of a run's page, or of one of its artifacts, in machine-learning mode.

    See :func:`view_url`.
    """
    return f"{_server(tracking_uri)}/{run_path(experiment_id, run_id, artifact)}"


def run_path(experiment_id: str, run_id: str, artifact: str = "") -> str:
    """The same on the server that shows the link."""
    inside = f"/artifacts/{artifact}" if artifact else ""
    return f"#/experiments/{experiment_id}/runs/{run_id}{inside}?{MODE}"


def browse(
    store: Store, view: str | None = None, *, run_id: str | None = None, artifact: str = ""
) -> str:
    """How to see the runs of a view, or one run, or an artifact of it.

    The link, and what serves a local store.
    """
    address = store.pages or store.uri
    place = address, store.experiment_id
    url = run_url(*place, run_id, artifact) if run_id else view_url(*place, str(view))
    if address.startswith("http"):
        return url
    address = shown(store.uri)  # where that is not all of it, the variable holds the rest
    address = address if address == store.uri else '"$MLFLOW_TRACKING_URI"'
    return f"mlflow server --backend-store-uri {address}   then open {url}"


def browsed_at(store: Store, address: str) -> Store:
    """The store with links to the server of that address; UserError if it is none of a server."""
    try:
        parts = urlsplit(address)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or parts.query or parts.fragment or any(map(str.isspace, address)):
        raise UserError(
            f"tracking_ui={shown(address)!r} is no address of a server; give that of the MLflow "
            "server where runs are browsed: http://HOST:PORT"
        )
    return replace(store, pages=address)


def _compact(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))


def _server(tracking_uri: str) -> str:
    parts = urlsplit(tracking_uri)
    if parts.scheme not in ("http", "https"):
        return LOCAL_SERVER
    host = parts.netloc.rpartition("@")[2]  # a link is printed: no password in it
    return f"{parts.scheme}://{host}{parts.path.rstrip('/')}"
