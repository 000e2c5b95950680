"""Registries: every name loads, every file is listed, aliases and misspelt names."""

import dataclasses
import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest

from mu import data, methods, models, pruning, registry
from mu.data.images import Source
from mu.errors import UserError
from mu.hyperparameters import Hyperparameters
from mu.methods.base import Method
from mu.models import ModelSpec
from mu.pruning.base import Pruner
from mu.training import Training
from tests.helpers import refused

TABLES = {
    "dataset": (data.DATASETS, data.check_dataset),
    "arch": (models.ARCHITECTURES, models.check_arch),
    "pruner": (pruning.PRUNERS, pruning.check_pruner),
    "method": (methods.METHODS, methods.check_method),
}
ENTRIES = [(kind, name) for kind, (table, _) in TABLES.items() for name in table]


def modules(package):
    """The modules right below ``package``, imported."""
    found = pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
    return [importlib.import_module(one.name) for one in found]


def concrete(package, base):
    """Import paths of the subclasses of ``base`` that the modules of ``package`` define."""
    return {
        f"{module.__name__}:{name}"
        for module in modules(package)
        for name, found in vars(module).items()
        if inspect.isclass(found)
        and issubclass(found, base)
        and found.__module__ == module.__name__
        and not inspect.isabstract(found)
    }


def sources(package):
    """Import paths of the sources that the modules of ``package`` define."""
    return {
        f"{module.__name__}:SOURCE"
        for module in modules(package)
        if isinstance(vars(module).get("SOURCE"), Source)
    }


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


@pytest.mark.parametrize(
    "kind",
    [methods.method_class(name) for name in methods.METHODS]
    + [pruning.pruner_class(name) for name in pruning.PRUNERS],
)
def test_every_setting_of_a_method_and_a_pruner_has_a_help_text(kind):
    assert issubclass(kind, Hyperparameters)
    for field in dataclasses.fields(kind):
        assert field.metadata.get("help"), f"{kind.__name__}.{field.name} has no help"


@pytest.mark.parametrize(
    ("default", "table"),
    [
        (data.DEFAULT_DATASET, data.DATASETS),
        (pruning.DEFAULT_PRUNER, pruning.PRUNERS),
        (methods.DEFAULT_METHOD, methods.METHODS),
    ],
)
def test_the_default_is_a_registered_name(default, table):
    assert default in table


# --- every file is listed -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "table"),
    [
        (concrete(methods, Method), methods.METHODS),
        (concrete(pruning, Pruner), pruning.PRUNERS),
        (sources(data), data.DATASETS),
    ],
    ids=["methods", "pruners", "datasets"],
)
def test_no_file_is_forgotten_and_nothing_is_listed_twice(found, table):
    assert found == set(table.values()), "list the file in its package's __init__.py"
    assert len(table) == len(found)


# --- aliases and misspelt names -----------------------------------------------------------


@pytest.mark.parametrize(("alias", "name"), list(methods.ALIASES.items()))
def test_an_alias_leads_to_a_name_and_hides_none(alias, name):
    assert alias not in methods.METHODS
    assert name in methods.METHODS
    assert methods.check_method(alias) == name
    assert methods.method_class(alias) is methods.method_class(name)


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
    table, aliases = {"first": "a:b"}, {"uno": "first"}

    assert registry.canonical("thing", "uno", table, aliases) == "first"
    with refused("unknown thing 'unos'", "did you mean uno?"):
        registry.canonical("thing", "unos", table, aliases)
    with refused("unknown thing 'zz'", "first, uno"):
        registry.canonical("thing", "zz", table, aliases)


def test_a_wrong_setting_names_its_method_or_pruner():
    with refused("setting of pruner omp", "'rat'", "rate"):
        pruning.make_pruner("omp", {"rat": 0.5})
    with refused("setting of method l1_sparse", "'alhpa'", "alpha"):
        methods.make_method("l1_sparse", {"alhpa": 0.5})


def test_names_are_checked_before_torch_is_loaded():
    program = (
        "import sys\n"
        "from mu import data, methods, models, pruning\n"
        "data.check_dataset('digits'), methods.check_method('FT')\n"
        "models.check_arch('resnet18'), pruning.check_pruner('omp')\n"
        "sys.exit('torch' in sys.modules)\n"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
