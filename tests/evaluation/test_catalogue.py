"""The list of metrics."""

import pytest

from mu.evaluation.catalogue import HIGHER, METRICS, metric
from mu.evaluation.measurements import GROUPS, Selection
from tests.helpers import refused


def test_every_metric_says_what_it_is_in_one_line():
    for name, one in METRICS.items():
        assert one.name == name
        assert one.definition
        assert "\n" not in one.definition
        assert one.better
        assert one.unit


def test_every_number_of_every_group_is_listed():
    for group in GROUPS.values():
        for name in group.names:
            assert metric(name)


def test_endings_are_explained():
    assert metric("MIA_auc_lo").definition.startswith("lower end of the 95 % interval of: ")
    assert metric("lira_auc_lo_before").definition.count(": ") == 2
    assert metric("agreement_test").better == HIGHER


def test_a_misspelt_name_gets_the_nearest():
    with refused("agreement_tset", "did you mean agreement_test"):
        metric("agreement_tset")


@pytest.mark.parametrize(
    ("text", "groups", "kept", "not_kept"),
    [
        ("default", tuple(n for n in GROUPS if n not in ("rates", "klom")), "UA", None),
        ("all", tuple(GROUPS), "klom_test", None),
        ("tow, ece", ("calibration", "oracle"), "tow", "gap"),
        ("gap", ("oracle",), "gap_lo", "gap_UA"),
        ("relearn_steps", ("depth",), "relearn_steps_oracle", "probe_acc"),
        ("klom,UA", ("accuracy", "klom"), "klom_test_mean", "RA"),
    ],
)
def test_a_selection(text, groups, kept, not_kept):
    found = Selection.parse(text)
    assert found.groups == groups
    assert found.keeps(kept)
    assert not_kept is None or not found.keeps(not_kept)
