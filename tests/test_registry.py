"""Registries: classes are found in their files, names and aliases lead to them."""

import dataclasses
from pathlib import Path

import pytest

from mu import data, detection, methods, models, pruning
from mu.data import Source, triggers
from mu.errors import UserError, nearest
from mu.hyperparameters import Hyperparameters
from mu.methods.base import Method
from mu.models import ModelSpec
from mu.pruning.base import Pruner
from mu.registry import Registry, load
from mu.training import Training
from tests.helpers import refused

REGISTRIES = {
    "pruner": pruning.PRUNERS,
    "method": methods.METHODS,
    "trigger": triggers.TRIGGERS,
    "detector": detection.DETECTORS,
}
TABLES = {
    "dataset": (data.DATASETS, data.check_dataset),
    "arch": (models.ARCHITECTURES, models.check_arch),
    **{kind: (registry, registry.check) for kind, registry in REGISTRIES.items()},
}
ENTRIES = [(kind, name) for kind, (table, _) in TABLES.items() for name in table]
ALIASES = [
    (registry, *pair) for registry in REGISTRIES.values() for pair in registry.aliases.items()
]
CLASSES = [one for registry in REGISTRIES.values() for one in registry.values()]


# --- every name loads ---------------------------------------------------------------------


@pytest.mark.parametrize("name", data.DATASETS)
def test_a_dataset_names_a_source_whose_defaults_exist(name):
    source = data.source(name)

    assert isinstance(source, Source)
    assert source.arch in models.ARCHITECTURES
    Training.of(source.training)


@pytest.mark.parametrize("name", models.ARCHITECTURES)
def test_an_architecture_builds(name):
    model = ModelSpec(name, 3, 1).build(0)

    assert sum(parameter.numel() for parameter in model.parameters()) > 0


@pytest.mark.parametrize("name", pruning.PRUNERS)
def test_a_pruner_can_be_made_with_its_defaults_and_changed(name):
    assert isinstance(pruning.make_pruner(name), Pruner)
    assert pruning.make_pruner(name, {"rate": 0.25}).rate == 0.25


@pytest.mark.parametrize("name", methods.METHODS)
def test_a_method_can_be_made_with_its_defaults(name):
    assert isinstance(methods.make_method(name), Method)


@pytest.mark.parametrize("kind", CLASSES)
def test_every_setting_has_a_help_text(kind):
    assert issubclass(kind, Hyperparameters)
    for field in dataclasses.fields(kind):
        assert field.metadata.get("help"), f"{kind.__name__}.{field.name} has no help"


@pytest.mark.parametrize(
    ("default", "table"),
    [
        (data.DEFAULT_DATASET, data.DATASETS),
        (pruning.DEFAULT_PRUNER, pruning.PRUNERS),
        (methods.DEFAULT_METHOD, methods.METHODS),
        (triggers.DEFAULT_TRIGGER, triggers.TRIGGERS),
    ],
)
def test_the_default_is_a_registered_name(default, table):
    assert default in table


# --- classes are found in their files -----------------------------------------------------


@pytest.fixture
def found(tmp_path, monkeypatch):
    """A registry of a package of that one file."""

    def make(text, package):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
        (tmp_path / package / "things.py").write_text(f"from mu.registry import Registered\n{text}")
        monkeypatch.syspath_prepend(tmp_path)
        return Registry("thing", package)

    return make


def test_the_classes_of_a_new_file_are_found_and_sorted(found):
    things = found(
        "class B(Registered):\n    name = 'b'\n    aliases = ('uno',)\n"
        "class A(Registered):\n    name = 'a'\n",
        "new_things",
    )

    assert list(things) == ["a", "b"]
    assert things.aliases == {"uno": "b"}
    assert things.find("uno") is things["b"]


@pytest.mark.parametrize("other", ["name = 'a'", "name = 'b'; aliases = ('a',)"])
def test_two_classes_of_one_name_are_refused(found, other):
    text = f"class A(Registered):\n    name = 'a'\nclass B(Registered):\n    {other}\n"

    with pytest.raises(ValueError, match=r"\['a'\] is the thing of two classes in .*things\.A"):
        len(found(text, f"twice_{len(other)}"))


def test_a_class_without_a_name_is_refused(found):
    with pytest.raises(TypeError, match=r"things\.A is chosen by no name"):
        len(found("class A(Registered):\n    pass\n", "nameless"))


@pytest.mark.parametrize(
    ("registry", "base"), [(methods.METHODS, Method), (pruning.PRUNERS, Pruner)]
)
def test_what_is_found_is_of_its_kind(registry, base):
    assert registry
    assert all(issubclass(one, base) for one in registry.values())


def test_every_file_that_reads_a_data_set_is_listed():
    folder = Path(data.__file__).parent
    reading = {path.stem for path in folder.glob("*.py") if "\ndef read(" in path.read_text()}

    listed = {source.read.args[0].rpartition(".")[2] for source in data.DATASETS.values()}
    assert {f"{one}:read" for one in reading - {"custom"}} <= listed
    assert all(load(source.read.args[0]) for source in data.DATASETS.values())


# --- aliases and misspelt names -----------------------------------------------------------


@pytest.mark.parametrize(("registry", "alias", "name"), ALIASES)
def test_an_alias_leads_to_a_name_and_hides_none(registry, alias, name):
    assert alias not in registry
    assert registry.check(alias) == name
    assert registry.find(alias) is registry[name]


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_a_name_is_its_own_registered_spelling(kind, name):
    _, check = TABLES[kind]

    assert check(name) == name


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_a_misspelt_name_is_answered_with_the_right_one(kind, name):
    _, check = TABLES[kind]

    with refused(f"unknown {kind}", f"'{name}x'", "did you mean", name):
        check(f"{name}x")


@pytest.mark.parametrize("kind", TABLES)
def test_a_name_like_no_other_is_answered_with_all(kind):
    table, check = TABLES[kind]

    with refused(f"unknown {kind}", "'@@@'", *table):
        check("@@@")


@pytest.mark.parametrize(
    "make", [methods.make_method, pruning.make_pruner, data.load_data, data.source]
)
def test_an_unknown_name_is_refused_wherever_it_is_used(make):
    with pytest.raises(UserError, match="unknown"):
        make("nonesuch")


def test_aliases_are_offered_beside_names():
    with refused("unknown method 'wfishr'", "did you mean wfisher?"):
        methods.check_method("wfishr")


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("metod", ["method", "augment"], "method"),
        ("cifr10", ["cifar100", "cifar10_jpeg", "cifar10"], "cifar10"),
        ("fx", ["ft", "retrain"], "ft"),
        ("UAA", ["UA", "MIA", "TA"], "UA"),
        ("metod", ["augment", "seed"], None),
        ("sed", ["scale", "claims"], None),
    ],
)
def test_only_the_nearest_name_is_offered(name, known, expected):
    assert nearest(name, known) == expected


def test_a_wrong_setting_names_its_method_or_pruner():
    with refused("setting of pruner omp", "'rat'", "rate"):
        pruning.make_pruner("omp", {"rat": 0.5})
    with refused("setting of method l1_sparse", "'alhpa'", "alpha"):
        methods.make_method("l1_sparse", {"alhpa": 0.5})
