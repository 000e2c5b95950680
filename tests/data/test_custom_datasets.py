"""Data sets by import path: a function of the user's own, and every refusal."""

import importlib
import subprocess
import sys
from textwrap import dedent

import numpy as np
import pytest
import torch

from mu.checkpoints import DataSpec
from mu.cli.groups import original_groups
from mu.data import check_dataset, load_data, source
from mu.data.images import ImageDataset
from mu.originals.train import make_recipe
from tests.helpers import refused, write_tree

DATA = """
    import numpy as np
    import torch

    from mu.data.images import ImageDataset, Images

    called = []

    def images(count, size, channels=3):
        values = np.random.default_rng(count).integers(0, 256, (count, channels, size, size))
        return Images(torch.from_numpy(values.astype(np.uint8)), torch.arange(count) % 2)

    def dataset(name="a name of its own", **changed):
        fields = {
            "train": images(6, 8), "test": images(4, 8), "classes": ("ants", "bees"),
            "mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6), **changed,
        }
        return ImageDataset(name, **fields)

    def make(data_dir, image_size):
        called.append((data_dir, image_size))
        size = image_size or 8
        return dataset(train=images(6, size), test=images(4, size), data_dir="elsewhere")

    def keywords(*, data_dir=None, image_size=None, more=3):
        return make(data_dir, image_size)

    def every(**given):
        return make(**given)

    class Subclass(ImageDataset):
        @property
        def published_labels(self):
            raise AssertionError("only the fields count")

    def subclass(data_dir, image_size):
        return Subclass("x", images(6, 8), images(4, 8), ("a", "b"), (0.1,) * 3, (0.2,) * 3)

    def no_size(data_dir):
        called.append("no_size")

    def no_folder(image_size):
        called.append("no_folder")

    def positional(data_dir, image_size, /):
        called.append("positional")

    def wants_more(data_dir, image_size, seed):
        called.append("wants_more")

    def a_dictionary(data_dir, image_size):
        return {}

    def nothing(data_dir, image_size):
        pass

    def floats(data_dir, image_size):
        return dataset(train=Images(torch.rand(6, 3, 8, 8), torch.zeros(6).long()))

    def lists(data_dir, image_size):
        whole = images(6, 8)
        return dataset(train=type("Fake", (), {
            "pixels": whole.pixels, "labels": whole.labels, "shape": whole.shape,
            "__len__": lambda self: 6,
        })())

    def other_sizes(data_dir, image_size):
        return dataset(test=images(4, 9))

    def labels_beyond(data_dir, image_size):
        return dataset(classes=("ants",))

    def numbers_as_classes(data_dir, image_size):
        return dataset(classes=(0, 1))

    def text_as_classes(data_dir, image_size):
        return dataset(classes="ab")

    def grey_mean(data_dir, image_size):
        return dataset(mean=(0.1,))

    def grey_std(data_dir, image_size):
        return dataset(std=(0.1,))

    def no_spread(data_dir, image_size):
        return dataset(std=(0.1, 0.0, 0.1))

    def no_number(data_dir, image_size):
        return dataset(mean=(0.1, float("nan"), 0.1))

    def on_no_device(data_dir, image_size):
        whole = images(6, 8)
        return dataset(train=Images(whole.pixels.to("meta"), whole.labels))

    def broken(data_dir, image_size):
        raise KeyError("broken")
"""


@pytest.fixture(autouse=True)
def mydata(tmp_path, monkeypatch):
    """The user's folder, with a module, a package and a module that cannot be imported."""
    files = {
        "mydata.py": dedent(DATA),
        "mypack/__init__.py": "",
        "mypack/inner.py": "from mydata import make\n",
        "lacking.py": "import a_package_that_is_not_there\n",
    }
    write_tree(tmp_path / "code", {name: text.encode() for name, text in files.items()})
    monkeypatch.syspath_prepend(tmp_path / "code")
    yield lambda: importlib.import_module("mydata")
    for name in ("mydata", "mypack", "mypack.inner", "lacking"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    "name", ["mydata:make", "mydata:keywords", "mydata:every", "mypack.inner:make"]
)
@pytest.mark.parametrize("size", [None, 5])
@pytest.mark.parametrize("given", [False, True])
def test_the_function_gets_folder_and_size_and_the_data_goes_by_its_name(
    name, size, given, tmp_path, mydata
):
    folder = tmp_path if given else None
    dataset = load_data(name, folder, size)

    assert mydata().called == [(folder, size)]
    assert type(dataset) is ImageDataset
    assert dataset.name == name
    assert dataset.data_dir == (str(tmp_path) if given else None)
    assert dataset.image_size == size
    side = size or 8
    for images, count in ((dataset.train, 6), (dataset.test, 4)):
        expected = mydata().images(count, side)
        assert np.array_equal(images.pixels, expected.pixels)
        assert torch.equal(images.labels, expected.labels)
    assert (dataset.classes, dataset.mean, dataset.std) == (
        ("ants", "bees"),
        (0.1, 0.2, 0.3),
        (0.4, 0.5, 0.6),
    )


def test_a_later_step_loads_the_same_data_by_what_the_spec_says(tmp_path):
    spec = DataSpec.of(load_data("mydata:make", tmp_path, 5))

    again = load_data(spec.name, spec.data_dir, spec.image_size)

    assert spec.name == "mydata:make"
    assert again.fingerprint == spec.fingerprint
    assert spec.bind(again) is again


def test_an_original_is_made_of_it_by_default_a_resnet18():
    recipe = make_recipe(load_data("mydata:make"))

    assert recipe.model.arch == "resnet18"
    assert (recipe.model.num_classes, recipe.model.in_channels) == (2, 3)


def test_only_the_fields_of_a_subclass_count():
    assert load_data("mydata:subclass").published_labels.tolist() == [0, 1, 0, 1, 0, 1]


# --- names --------------------------------------------------------------------------------


def test_the_name_is_checked_before_torch_is_loaded_and_nothing_is_imported():
    program = (
        "import sys\n"
        "from mu import data\n"
        "assert data.check_dataset('antigravity:make') == 'antigravity:make'\n"
        "assert 'torch' not in sys.modules\n"
        "assert data.source('antigravity:make').arch == 'resnet18'\n"
        "sys.exit('antigravity' in sys.modules)\n"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_options_of_an_original_take_it():
    assert original_groups(["--dataset", "nowhere:make"])
    with refused("dataset 'no where:make'", "write package.module:function"):
        original_groups(["--dataset", "no where:make"])


@pytest.mark.parametrize("name", ["a:", ":a", ":", "a:b:c", "a..b:c", "a-b:c", "a:b()", "a:b\n"])
@pytest.mark.parametrize("verb", [check_dataset, source, load_data])
def test_a_name_of_another_form_is_refused(name, verb):
    with refused("dataset", "write package.module:function") as refusal:
        verb(name)
    assert "torchvision" not in refusal.message


@pytest.mark.parametrize("name", ["mnits", "mydata.make", "@@@"])
def test_an_unknown_plain_name_is_refused_with_the_open_form(name):
    with refused(f"unknown dataset {name!r}", "(package.module:function is a name too)"):
        check_dataset(name)


# --- refusals -----------------------------------------------------------------------------

NEEDED = "is no function that accepts data_dir and image_size by name"
REFUSED = {
    "nowhere:make": ("No module named 'nowhere'", "folder that holds nowhere", "PYTHONPATH"),
    "mypack.nowhere:make": ("'mypack.nowhere'", "folder that holds mypack", "PYTHONPATH"),
    "lacking:make": ("'a_package_that_is_not_there'", "environment lacks what lacking imports"),
    "mydata:nonesuch": ("no 'nonesuch' in", "mydata.py"),
    "mydata:no_size": (NEEDED,),
    "mydata:no_folder": (NEEDED,),
    "mydata:positional": (NEEDED,),
    "mydata:called": (NEEDED,),
    "shutil:rmtree": (NEEDED,),
    "os:rmdir": (NEEDED,),
    "mydata:wants_more": ("raises TypeError for (data_dir=", "image_size=None", "'seed'"),
    "mydata:floats": ("raises TypeError for (data_dir=", "pixels must be uint8"),
    "mydata:a_dictionary": ("returns dict, not a mu.data.images.ImageDataset",),
    "mydata:nothing": ("returns NoneType, not a mu.data.images.ImageDataset",),
    "mydata:lists": ("train or test is no mu.data.images.Images",),
    "mydata:numbers_as_classes": ("classes are no tuple of names",),
    "mydata:text_as_classes": ("classes are no tuple of names",),
    "mydata:grey_mean": ("mean and std are not of 3 channels",),
    "mydata:grey_std": ("mean and std are not of 3 channels",),
    "mydata:no_spread": ("cannot normalise", "std above 0"),
    "mydata:no_number": ("cannot normalise", "finite"),
    "mydata:on_no_device": ("not on the CPU",),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_name_that_leads_to_no_data_is_refused(name, tmp_path, mydata):
    with refused(f"dataset {name}", *REFUSED[name]):
        load_data(name, tmp_path)

    assert mydata().called == []
    assert (tmp_path / "code").is_dir()


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("mydata:other_sizes", ("training and test images", "differ in size")),
        ("mydata:labels_beyond", ("labels from 0 to 1, but 1 classes",)),
    ],
)
def test_data_that_contradicts_itself_is_refused(name, texts):
    with refused("a name of its own", *texts):
        load_data(name)


def test_a_mistake_inside_the_function_keeps_its_traceback():
    with pytest.raises(KeyError, match="broken"):
        load_data("mydata:broken")


def test_a_folder_that_does_not_exist_is_refused_before_anything_is_imported(tmp_path):
    with refused(str(tmp_path / "nowhere"), "does not exist"):
        load_data("mydata:make", tmp_path / "nowhere")

    assert "mydata" not in sys.modules
