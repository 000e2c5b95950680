"""The options of an original, which several commands share.

Names are checked before anything heavy is imported, so that a misspelt one is answered at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mu.cli.options import Group, peek
from mu.data import DATASETS, DEFAULT_DATASET, check_dataset, load_data, source
from mu.errors import UserError
from mu.hyperparameters import LARGEST_SEED, Hyperparameters, setting
from mu.models import ARCHITECTURES, STEMS, check_arch
from mu.profiles import DEFAULT_PROFILE, PROFILES, profile
from mu.pruning import PRUNERS, check_pruner, pruner_class

if TYPE_CHECKING:
    from mu.data.images import ImageDataset


@dataclass(frozen=True)
class DataOptions(Hyperparameters):
    """Which data."""

    dataset: str = setting(
        DEFAULT_DATASET, help=f"data set: {', '.join(DATASETS)} or package.module:function"
    )
    data_dir: str | None = setting(None, help="where its files lie")
    image_size: int | None = setting(
        None, help="side of the images, of data sets whose images differ in size", low=1
    )
    stream: bool | None = setting(
        None,
        help="decode images as they are needed (default: where they do not fit in memory)",
    )
    workers: int | None = setting(
        None, help="processes that decode streamed images (default: one for each core)", low=0
    )


@dataclass(frozen=True)
class ModelOptions(Hyperparameters):
    """Which network."""

    arch: str | None = setting(
        None,
        help=f"architecture: {', '.join(ARCHITECTURES)}, torchvision:NAME or "
        "package.module:function (default: one that suits the data set)",
    )
    stem: str = setting("auto", help="first layers; auto goes by the image size", choices=STEMS)


@dataclass(frozen=True)
class OriginalOptions(Hyperparameters):
    """How an original is made, beside training, split and the pruner's own settings."""

    profile: str = setting(
        DEFAULT_PROFILE, help="defaults of training and pruner", choices=tuple(PROFILES)
    )
    pruner: str | None = setting(
        None,
        help=f"how the mask is found: {', '.join(PRUNERS)} (default: the profile's, mostly omp)",
    )
    seed: int = setting(
        0, help="of initial weights and the order of samples", low=0, high=LARGEST_SEED
    )


@dataclass(frozen=True)
class DeviceOptions(Hyperparameters):
    """Where models run."""

    device: str = setting("auto", help="auto, cpu, cuda, cuda:1, ...")
    precision: str = setting(
        "auto", help="auto is bf16 on CUDA, fp32 elsewhere", choices=("auto", "fp32", "bf16")
    )
    devices: int = setting(
        1,
        help="processes that do the work together, each with a GPU of its own or its part of the "
        "CPU; torchrun brings its number",
        low=1,
    )
    sync_bn: bool = setting(
        False, help="whether batch normalisation sees the batches of all GPUs as one"
    )

    def check(self) -> None:
        """Refuse devices that this machine does not have; loads torch.

        Raises
        ------
        UserError
            If it does not have them.
        """
        from mu.data.streaming import default_workers
        from mu.distributed.place import place
        from mu.runs import check_devices, pick_device

        here = place()
        devices = self.devices if here.size == 1 else here.local_size  # of this machine
        cores = max(FEWEST_CORES, default_workers())
        if pick_device(self.device).type == "cpu" and devices > cores:
            raise UserError(
                f"devices={devices}, but this machine has {cores} cores; give devices={cores}"
            )
        check_devices(self.device, devices, self.sync_bn)


FEWEST_CORES = 2  # so that two processes can be tried anywhere
PLAIN = (Group(DataOptions), Group(ModelOptions))
PLAIN_NAMES = (*DataOptions.names(), *ModelOptions.names())


def original_groups(
    arguments: Sequence[str], prefix: str = "", defaults: Mapping[str, str] | None = None
) -> list[Group]:
    """The options of an original; the pruner that is asked for decides on its own.

    Parameters
    ----------
    prefix
        Of all but data and network.
    defaults
        What the help says of defaults that are other ones in this command, by name.

    Raises
    ------
    UserError
        If the data set, architecture or pruner has an unknown name.
    """
    dataset = check_dataset(peek(arguments, "dataset", DEFAULT_DATASET))
    if (arch := peek(arguments, "arch", "auto")) != "auto":
        check_arch(arch)
    chosen = profile(peek(arguments, f"{prefix}profile", DEFAULT_PROFILE))
    pruner = check_pruner(peek(arguments, f"{prefix}pruner", chosen.pruner))
    from mu.data.splits import SplitSpec
    from mu.recipes import Rewinding
    from mu.training.recipe import Training

    suited = {**source(dataset).training, **chosen.training}  # to the data and the profile
    if chosen.warmup:
        suited["warmup"] = f"{100 * chosen.warmup:g} % of the epochs"
    said = {**{name: str(value) for name, value in suited.items()}, **(defaults or {})}
    prefixed = (OriginalOptions, pruner_class(pruner), Rewinding, Training, SplitSpec)
    return [*PLAIN, *(Group(settings, prefix, said) for settings in prefixed)]


def given_settings(groups: Sequence[Group], values: Mapping[str, Any]) -> dict[str, Any]:
    """What was given explicitly for these groups, by names without prefix."""
    return {name: value for group in groups for name, value in group.given(values).items()}


def load_asked(given: Mapping[str, Any]) -> tuple[ImageDataset, dict[str, Any]]:
    """The data that was asked for, and what was asked for beside it."""
    data = DataOptions.of({n: v for n, v in given.items() if n in DataOptions.names()})
    rest = {name: value for name, value in given.items() if name not in DataOptions.names()}
    found = load_data(
        data.dataset, data.data_dir, data.image_size, stream=data.stream, workers=data.workers
    )
    return found, rest
