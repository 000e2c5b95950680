"""The saved views must decode to what MLflow's page restores."""

import base64
import json
import zlib
from typing import Any

import pytest

from mu.evaluation.catalogue import metric
from mu.tracking import Store
from mu.tracking.view import TAG_PREFIX, VIEWS, View, experiment_tags, give_views, view_url


def decoded(view: View) -> tuple[dict[str, Any], dict[str, Any]]:
    """The tag's envelope and the state inside it, unpacked the way the page does."""
    envelope = json.loads(experiment_tags()[f"{TAG_PREFIX}{view.key}"])
    method, packed = envelope["state"].split(";", 1)
    assert method == "deflate"
    return envelope, json.loads(zlib.decompress(base64.b64decode(packed, validate=True)))


each_view = pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.key)


def test_the_views_are_kept_under_mlflows_tag_names() -> None:
    assert list(experiment_tags()) == [
        "mlflow.sharedViewState.mu-unlearn",
        "mlflow.sharedViewState.mu-average",
        "mlflow.sharedViewState.mu-backdoor",
        "mlflow.sharedViewState.mu-transfer",
        "mlflow.sharedViewState.mu-prune",
    ]


def test_every_call_returns_the_same_tags() -> None:
    assert experiment_tags() == experiment_tags()


@each_view
def test_envelope_has_the_fields_and_types_the_page_insists_on(view: View) -> None:
    envelope, _ = decoded(view)
    assert envelope["name"] == view.title
    assert isinstance(envelope["createdAt"], int)


def test_menu_lists_the_views_in_their_own_order() -> None:
    newest_first = sorted(VIEWS, key=lambda view: decoded(view)[0]["createdAt"], reverse=True)
    assert newest_first == list(VIEWS)
    assert len({view.title for view in VIEWS}) == len(VIEWS)


@each_view
def test_tag_fits_into_mlflows_limit(view: View) -> None:
    limit = 20_000  # mlflow.utils.validation.MAX_EXPERIMENT_TAG_VAL_LENGTH
    assert len(experiment_tags()[f"{TAG_PREFIX}{view.key}"]) < limit


def test_an_experiment_is_described_once(store: Store) -> None:
    give_views(store)
    tags = store.client.get_experiment(store.experiment_id).tags
    note = tags["mlflow.note.content"]
    assert all(f"viewStateShareKey={view.key})" in note for view in VIEWS)
    assert f"(#/experiments/{store.experiment_id}/runs?" in note
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    store.client.set_experiment_tag(store.experiment_id, "mlflow.note.content", "my own words")
    give_views(store)
    tags = store.client.get_experiment(store.experiment_id).tags
    assert tags["mlflow.note.content"] == "my own words"


def test_unlearn_view_is_a_leaderboard_by_gap() -> None:
    _, state = decoded(VIEWS[0])
    assert state["selectedColumns"] == [
        "params.`method`",
        "params.`forget`",
        "metrics.`gap`",
        "metrics.`UA`",
        "metrics.`RA`",
        "metrics.`TA`",
        "metrics.`MIA`",
        "metrics.`sparsity`",
        "metrics.`RTE`",
        "metrics.`ASR`",
    ]
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`gap`", True)
    assert state["searchFilter"] == (
        'metrics.UA >= 0 and tags."mu.entry" != "evaluate" and tags."mu.entry" != "transfer"'
    )


def test_unlearn_view_leaves_out_what_only_repeats_numbers_of_an_unlearning(store: Store) -> None:
    made = {}
    for entry in ("unlearn", "backdoor", "evaluate", "transfer", "prune"):
        tags = {"mu.entry": entry}
        run_id = store.client.create_run(store.experiment_id, tags=tags).info.run_id
        if entry != "prune":
            store.client.log_metric(run_id, "UA", 3.0)
        made[run_id] = entry
    shown = {made[run.info.run_id] for run in store.search(VIEWS[0].shows)}
    assert shown == {"unlearn", "backdoor"}


def test_prune_view_shows_the_newest_run_first() -> None:
    _, state = decoded(VIEWS[4])
    assert state["selectedColumns"] == [
        "params.`dataset`",
        "params.`arch`",
        "params.`profile`",
        "params.`pruner`",
        "params.`rate`",
        "params.`rounds`",
        "metrics.`TA`",
        "metrics.`sparsity`",
        "metrics.`train_acc`",
        "metrics.`VA`",
        "metrics.`train_s`",
    ]
    assert (state["orderByKey"], state["orderByAsc"]) == ("attributes.`Created`", False)
    assert state["searchFilter"] == 'tags."mu.entry" = "prune"'


@each_view
def test_charts_are_of_known_numbers_and_in_a_section_that_is_there(view: View) -> None:
    _, state = decoded(view)
    sections = {one["uuid"]: one["name"] for one in state["compareRunSections"]}
    assert list(sections.values())[-2:] == ["Model metrics", "System metrics"]  # as the page wants
    cards = state["compareRunCharts"]
    assert len({card["uuid"] for card in cards}) == len(cards) == len(view.charts) > 0
    assert {sections[card["metricSectionId"]] for card in cards} == {"mu"}
    for card in cards:
        axes = [card[axis]["key"] for axis in ("xaxis", "yaxis") if axis in card]
        for name in [*axes, *card.get("selectedMetrics", []), card.get("metricKey")]:
            assert name is None or metric(name)


def test_the_averages_are_over_seeds_alone() -> None:
    _, state = decoded(VIEWS[1])
    assert state["groupBy"] == {
        "aggregateFunction": "average",
        "groupByKeys": [
            {"mode": "param", "groupByData": name}
            for name in ("method", "prune_rate", "preset", "forget")
        ],
    }


@each_view
def test_no_order_makes_the_page_fold_nested_runs(view: View) -> None:
    assert decoded(view)[1]["orderByKey"] != "attributes.start_time"


@each_view
def test_chosen_columns_keep_their_order_and_have_a_width(view: View) -> None:
    _, state = decoded(view)
    assert state["columnOrder"][2:] == state["selectedColumns"]
    assert list(state["columnWidths"]) == state["selectedColumns"]


@pytest.mark.parametrize(
    ("tracking_uri", "server"),
    [
        ("http://tracking.example:8080", "http://tracking.example:8080"),
        ("https://example.org/mlflow/", "https://example.org/mlflow"),
        ("https://user:secret@example.org", "https://example.org"),
        ("sqlite:///mlflow.db", "http://127.0.0.1:5000"),
        ("postgresql://user:secret@db/mlflow", "http://127.0.0.1:5000"),
        ("", "http://127.0.0.1:5000"),
    ],
)
def test_url_leads_to_the_server_of_the_store(tracking_uri: str, server: str) -> None:
    assert view_url(tracking_uri, "7", "mu-prune") == (
        f"{server}/#/experiments/7/runs?workflowType=machine_learning&viewStateShareKey=mu-prune"
    )


@each_view
def test_mlflow_accepts_order_and_filter(view: View) -> None:
    search = pytest.importorskip("mlflow.utils.search_utils").SearchUtils
    _, state = decoded(view)
    kind, key, ascending = search.parse_order_by_for_search_runs(
        f"{state['orderByKey']} {'ASC' if state['orderByAsc'] else 'DESC'}"
    )
    order = (kind, search.translate_key_alias(key), ascending)
    assert order in [
        ("metric", "gap", True),
        ("metric", "ASR", True),
        ("metric", "target_gain", False),
        ("attribute", "start_time", False),
    ]
    clauses = search.parse_search_filter(state["searchFilter"])
    assert {(one["type"], one["key"], one["value"]) for one in clauses} in [
        {("metric", "UA", "0"), ("tag", "mu.entry", "evaluate"), ("tag", "mu.entry", "transfer")},
        {("metric", "ASR", "0"), ("tag", "mu.entry", "evaluate")},
        {("tag", "mu.entry", "transfer")},
        {("tag", "mu.entry", "prune")},
    ]
