"""Settings: types, ranges, choices, and what a mistake is answered with."""

import dataclasses
import json
import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mu.errors import UserError
from mu.hyperparameters import LARGEST, Hyperparameters, base_type, range_text, setting
from tests.helpers import laws, refused


@dataclass(frozen=True)
class Fruit(Hyperparameters):
    count: int = setting(3, help="how many", low=1, high=9)
    share: float = setting(0.5, help="a part", low=0.0, below=1.0)
    rate: float = setting(0.1, help="how fast", above=0, high=2)
    kind: str = setting("apple", help="which", choices=("apple", "pear", "cherry"))
    ripe: bool = setting(True, help="whether")
    free: float = setting(0.0, help="anything")
    size: int | None = setting(None, help="how large", low=1)
    sort: str | None = setting(None, help="of which", choices=("early", "late"))


@dataclass(frozen=True)
class Bare(Hyperparameters):
    needed: int = setting(help="has no default")
    other: str = setting("x", help="has one")


FIELDS = {one.name: one for one in dataclasses.fields(Fruit)}
FINITE = st.floats(-LARGEST, LARGEST)


# --- types --------------------------------------------------------------------------------


@laws()
@given(value=st.integers(-(2**40), 2**40))
def test_a_whole_number_is_a_float_where_a_float_is_wanted(value):
    found = Fruit(free=value).free

    assert type(found) is float
    assert found == value


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("count", True, "int"),
        ("count", 3.0, "int"),
        ("count", "3", "int"),
        ("count", None, "int"),
        ("size", True, "int"),
        ("size", 2.5, "int"),
        ("share", True, "float"),
        ("share", "0.5", "float"),
        ("share", None, "float"),
        ("share", [0.5], "float"),
        ("ripe", 1, "bool"),
        ("ripe", "true", "bool"),
        ("kind", 1, "str"),
        ("kind", None, "str"),
        ("sort", 0, "str"),
    ],
)
def test_a_value_of_another_type_is_refused_with_name_value_and_type(name, value, kind):
    with refused(f"{name}={value!r}", kind):
        Fruit(**{name: value})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["share", "rate", "free"])
def test_what_is_no_finite_number_is_refused(name, value):
    with refused(name, "finite"):
        Fruit(**{name: value})


def test_none_is_a_value_only_where_it_is_allowed():
    assert Fruit(size=None).size is None
    assert Fruit(sort=None).sort is None
    assert Fruit(size=4).size == 4
    assert Fruit(sort="late").sort == "late"


def test_base_type_sees_through_optional():
    assert base_type(float | None) is float
    assert base_type(None | str) is str
    assert base_type(int) is int
    with pytest.raises(TypeError, match="setting"):
        base_type("int")


# --- ranges -------------------------------------------------------------------------------


@laws(60)
@given(value=st.integers(-3, 12))
def test_low_and_high_are_allowed_values(value):
    if 1 <= value <= 9:
        assert Fruit(count=value).count == value
    else:
        with refused(f"count={value}", "at least 1 and at most 9"):
            Fruit(count=value)


@laws(60)
@given(value=FINITE | st.sampled_from([0.0, 1.0, -0.0, math.nextafter(1, 0), 5e-324, -5e-324]))
def test_low_is_allowed_and_below_is_not(value):
    if 0 <= value < 1:
        assert Fruit(share=value).share == value
    else:
        with refused("share=", "at least 0 and below 1"):
            Fruit(share=value)


@laws(60)
@given(value=FINITE | st.sampled_from([0.0, 2.0, 5e-324, math.nextafter(2, 3)]))
def test_above_is_not_allowed_and_high_is(value):
    if 0 < value <= 2:
        assert Fruit(rate=value).rate == value
    else:
        with refused("rate=", "above 0 and at most 2"):
            Fruit(rate=value)


def test_a_range_holds_for_optional_values_too():
    with refused("size=0", "at least 1"):
        Fruit(size=0)


@pytest.mark.parametrize(
    ("bounds", "text"),
    [
        ({}, ""),
        ({"low": 0}, "at least 0"),
        ({"high": 100}, "at most 100"),
        ({"above": 0, "below": 1}, "above 0 and below 1"),
        ({"low": 0.5, "high": 1.5}, "at least 0.5 and at most 1.5"),
        ({"low": 1e-9}, "at least 1e-09"),
    ],
)
def test_a_range_is_told_in_words(bounds, text):
    field = setting(0, help="anything", **bounds)

    assert range_text(field) == text


def test_a_field_that_is_no_setting_has_no_range():
    assert range_text(dataclasses.field(default=1)) == ""


# --- choices ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_", "nearest"), [("aple", "apple"), ("PEAR", "pear"), ("cherries", "cherry")]
)
def test_a_misspelt_choice_is_answered_with_the_nearest(given_, nearest):
    with refused("kind", repr(given_), f"did you mean {nearest}"):
        Fruit(kind=given_)


def test_a_choice_like_no_other_is_answered_with_all():
    with refused("'zzz'", "apple", "cherry", "pear"):
        Fruit(kind="zzz")


def test_choices_hold_for_optional_values_too():
    with refused("sort", "late"):
        Fruit(sort="lat")


# --- building -----------------------------------------------------------------------------


def test_an_unknown_name_is_refused_with_its_owner_and_the_nearest():
    with refused("setting of method fruit", "'shares'", "share"):
        Fruit.of({"shares": 0.5}, owner="method fruit")
    with refused("setting of Fruit", "'cuont'", "count"):
        Fruit.of({"count": 2, "cuont": 3})


def test_a_missing_value_without_a_default_is_named():
    with pytest.raises(TypeError, match="needed"):
        Bare.of({"other": "y"})


VALID = st.fixed_dictionaries(
    {},
    optional={
        "count": st.integers(1, 9),
        "share": st.floats(0, 1, exclude_max=True),
        "rate": st.floats(0, 2, exclude_min=True),
        "kind": st.sampled_from(["apple", "pear", "cherry"]),
        "ripe": st.booleans(),
        "free": FINITE,
        "size": st.none() | st.integers(1, 10**9),
        "sort": st.sampled_from([None, "early", "late"]),
    },
)


@laws()
@given(values=VALID)
def test_building_keeps_what_is_given_and_fills_in_the_rest(values):
    fruit = Fruit.of(values)

    assert fruit == Fruit(**values)
    assert fruit.as_dict() == {**Fruit().as_dict(), **values}
    assert Fruit.of(fruit.as_dict()) == fruit


@laws()
@given(values=VALID)
def test_settings_survive_json_exactly(values):
    fruit = Fruit.of(values)

    assert Fruit.of(json.loads(json.dumps(fruit.as_dict()))) == fruit


def test_names_are_in_the_order_of_the_fields():
    assert Fruit.names() == tuple(FIELDS)


def test_a_replaced_value_is_checked_again_and_the_first_one_stays():
    fruit = Fruit()

    assert fruit.replace(count=5).count == 5
    assert fruit.count == 3
    with refused("count=10"):
        fruit.replace(count=10)


def test_settings_cannot_be_assigned():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Fruit().count = 4


def test_a_default_out_of_range_is_found_as_soon_as_it_is_used():
    @dataclass(frozen=True)
    class Wrong(Hyperparameters):
        count: int = setting(0, help="never allowed", low=1)

    with pytest.raises(UserError):
        Wrong()


# --- former names -------------------------------------------------------------------------


@dataclass(frozen=True)
class Renamed(Hyperparameters):
    strength: float = setting(1.0, help="how much", low=0.0, formerly="power")
    count: int = setting(2, help="how many")


def test_a_former_name_is_understood_and_stands_in_fingerprints():
    assert Renamed.of({"power": 3.0}) == Renamed.of({"strength": 3}) == Renamed(strength=3.0)
    assert Renamed.names() == ("strength", "count")
    assert Renamed(strength=3.0).by_former_names() == {"power": 3.0, "count": 2}
    assert Renamed.renamed({"power": 1, "other": 2}) == {"strength": 1, "other": 2}
    with refused("strength=-1.0", "at least 0"):
        Renamed.of({"power": -1.0})


@pytest.mark.parametrize("values", [{"power": 1.0, "strength": 2.0}, {"strength": 2.0, "power": 1}])
def test_a_setting_by_both_of_its_names_is_refused(values):
    with refused("power is the former name of strength", "one of the two"):
        Renamed.of(values)
