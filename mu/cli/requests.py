"""What can be requested of mu: the options of every entry, as settings that check themselves.

Neither torch nor MLflow is loaded by them, so that a command answers ``--help`` and refuses a
misspelt name at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mu.compact import BF16, FORMATS, FP32, INT8, OPSET, PRECISIONS
from mu.data import COPIES, DATASETS, DEFAULT_DATASET
from mu.data.triggers import TRIGGERS
from mu.detection import DETECTORS
from mu.errors import UserError
from mu.hyperparameters import (
    LARGEST_SIDE,
    MOST_PROCESSES,
    Hyperparameters,
    changed,
    optional,
    path_setting,
    register_setting,
    seed_setting,
    setting,
)
from mu.methods import DEFAULT_METHOD, METHODS
from mu.models import ARCHITECTURES, STEMS
from mu.pruning import PRUNERS
from mu.recipes.profile import DEFAULT_PROFILE, PROFILES
from mu.transfer import DEFAULT_TUNE, TUNES

STAGES = ("poisoned", "cleansed")  # of a backdoor run
ORACLE_WORDS = ("find", "train", "none")  # of oracle_run_id; else it is an ID
ENGINES = ("local", "processes", "ray")  # that perform the tasks of a sweep
MOST_SPARSITIES = 100
MOST_RUNS = 200  # that a sweep makes without yes=true
MOST_TRIALS = 1000
AUTO_METHOD = "auto"  # of erase: chosen by what was measured before
REQUEST_KINDS = ("erasure", "withdrawal", "poison", "label_error", "disgorgement")
CRITERION = "criterion"  # what tune goes by, unless it is another forget set
TRANSFER_PREFIX = "transfer_"  # of the options of the training for the target


@dataclass(frozen=True)
class Request:
    """What was given explicitly on a command line, by group and by names without prefixes."""

    entry: Mapping[str, Any] = field(default_factory=dict)  # such as :class:`UnlearnOptions`
    method: Mapping[str, Any] = field(default_factory=dict)
    # Data, network, training, pruner and split.
    original: Mapping[str, Any] = field(default_factory=dict)
    device: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)  # for the target of ``transfer``
    poison: Mapping[str, Any] = field(default_factory=dict)
    trigger: Mapping[str, Any] = field(default_factory=dict)
    suspects: Mapping[str, Any] = field(default_factory=dict)


# --- originals and devices ----------------------------------------------------------------


@dataclass(frozen=True)
class DataOptions(Hyperparameters):
    """Which data."""

    dataset: str = setting(
        DEFAULT_DATASET, help=f"data set: {', '.join(DATASETS)} or package.module:function"
    )
    data_dir: str | None = path_setting(help="folder or file of the data")
    image_size: int | None = optional(
        help="side length to resize images to, for data sets whose images differ in size",
        low=1,
        high=LARGEST_SIDE,
    )
    stream: bool | None = optional(
        help="decode images during training (default: if they do not fit in memory)"
    )
    workers: int | None = optional(
        help="processes that decode streamed images (default: one for each core)",
        low=0,
        high=MOST_PROCESSES,
    )


@dataclass(frozen=True)
class ModelOptions(Hyperparameters):
    """Which network."""

    arch: str | None = optional(
        help=f"architecture: {', '.join(ARCHITECTURES)}, torchvision:NAME or "
        "package.module:function (default: one that suits the data set)"
    )
    stem: str = setting("auto", help="first layers; auto goes by the image size", choices=STEMS)


@dataclass(frozen=True)
class OriginalOptions(Hyperparameters):
    """How an original is made, besides training, split and the settings of the pruner."""

    profile: str = setting(
        DEFAULT_PROFILE, help="defaults of training and pruner", choices=tuple(PROFILES)
    )
    pruner: str | None = optional(
        help=f"how the mask is found: {', '.join(PRUNERS)} (default: the profile's, mostly omp)"
    )
    seed: int = seed_setting("of initial weights and the order of samples")


@dataclass(frozen=True)
class DeviceOptions(Hyperparameters):
    """Where models run."""

    device: str = setting("auto", help="auto, cpu, cuda, cuda:1, ...")
    precision: str = setting(
        "auto",
        help="auto is bf16 on CUDA, and on CPUs with instructions for it where that is faster for "
        "the network, which is measured once a machine; else fp32",
        choices=("auto", "fp32", "bf16"),
    )
    devices: int = setting(
        1,
        help="processes that do the work together, each on a GPU or its share of the CPU cores; "
        "torchrun sets it by itself",
        low=1,
        high=MOST_PROCESSES,
    )
    threads: int | None = optional(
        help="threads that each process computes with on the CPU (default: 1 for small networks "
        "and images, so that the same seed gives the same bits on any number of cores; else one "
        "for each core)",
        low=1,
        high=MOST_PROCESSES,
    )
    sync_bn: bool = setting(
        False, help="whether batch normalisation sees the batches of all GPUs as one"
    )


@dataclass(frozen=True)
class TrustOptions(Hyperparameters):
    """Code of others."""

    trust: str | None = optional(
        help="functions that a checkpoint or a run of someone else's names and that may be "
        "imported: package.module:function or package.module, separated by commas (the "
        "environment variable MU_TRUST adds to them)"
    )


# Options with these names are never prefixed, wherever an original is described.
PLAIN_NAMES = (*DataOptions.names(), *ModelOptions.names())


# --- entries ------------------------------------------------------------------------------


@dataclass(frozen=True)
class PruneOptions(Hyperparameters):
    """Earlier runs to start from."""

    mask_run_id: str | None = optional(
        help="train under the mask of that run instead of finding one; options not given are those "
        "of that run"
    )
    resume_run_id: str | None = optional(
        help="continue that interrupted run from its last finished epoch"
    )
    register: str | None = register_setting()


@dataclass(frozen=True)
class ImportOptions(Hyperparameters):
    """What the file may not say."""

    key: str | None = optional(
        help="the weights to take, where the file holds several: state_dict_ema (default: the "
        "first that fit and are no moving average)"
    )
    trained_on: str | None = optional(
        help="what the network was trained on: a file of sample numbers (npy, csv or txt), or "
        "files:LIST (default: drawn as the split says)"
    )
    mean: str | None = optional(
        help="mean of each channel that the network subtracts, of pixels scaled to 0-1: 0.49,0.48 "
        "(default: the file's, else the data set's)"
    )
    std: str | None = optional(help="standard deviation of each channel, likewise")
    register: str | None = register_setting()

    def normalisation(self) -> dict[str, tuple[float, ...] | None]:
        """Numbers by name, a number for each channel."""
        return {"mean": _numbers("mean", self.mean), "std": _numbers("std", self.std)}


def _numbers(name: str, text: str | None) -> tuple[float, ...] | None:
    try:
        return None if text is None else tuple(float(word) for word in text.split(","))
    except ValueError:
        raise UserError(
            f"{name}={text!r}: give a number for each channel, as 0.5,0.5,0.5"
        ) from None


@dataclass(frozen=True)
class StatedAttack(Hyperparameters):
    """What an attacker did, where the original was poisoned by somebody else."""

    trigger: str | None = optional(
        help=f"trigger whose success on clean test images is measured: {', '.join(TRIGGERS)}; "
        "with target"
    )
    target: str | None = optional(
        help="class that triggered images are to be taken for, by name or number, or all"
    )


@dataclass(frozen=True)
class ForgetOptions(Hyperparameters):
    """What to forget, how, and what to compare with."""

    prune_run_id: str = setting("auto", help="run of the original: an ID, or auto")
    stage: str | None = optional(
        help="of a backdoor run: start from the poisoned original or from the cleansed network",
        choices=STAGES,
    )
    method: str = setting(DEFAULT_METHOD, help=f"how to unlearn: {', '.join(METHODS)}")
    forget: str = setting(
        "class:0",
        help="class:3, class:0,3,7, class:3:200, random:450, random:10%, indices:FILE (sample "
        "numbers), files:FILE (file names, patterns or sha256), suspects:RUN_ID (what that run "
        "suspects; RUN_ID:30 the first 30), vulnerable:30:RUN_ID (the 30 samples most memorised "
        "by that lira run), poison (the poisoned samples of an original that mu poisoned), "
        "canary:20 or confusion:3,5:20 (the planted wrong labels of an original, which is found or "
        "trained)",
    )
    duplicates: str = setting(
        COPIES[0],
        help="of image files: whether exact copies of forgotten files are forgotten, too, or "
        "retained",
        choices=COPIES,
    )
    oracle_run_id: str = setting(
        "find", help="run of the oracle: find, train (if none is found), none, or an ID"
    )


@dataclass(frozen=True)
class UnlearnOptions(ForgetOptions):
    """Options of ``unlearn``, without those of the method and of the original."""

    seed: int = seed_setting("of the unlearning")
    resume_run_id: str | None = optional(
        help="continue that interrupted run from its last finished epoch; its options need not be "
        "given again"
    )
    register: str | None = register_setting()


@dataclass(frozen=True)
class TuneOptions(Hyperparameters):
    """What to forget, and how to search."""

    prune_run_id: str = changed(UnlearnOptions, "prune_run_id", "auto")
    stage: str | None = changed(UnlearnOptions, "stage", None)
    method: str = changed(UnlearnOptions, "method", DEFAULT_METHOD)
    forget: str = changed(UnlearnOptions, "forget", "class:0")
    duplicates: str = changed(UnlearnOptions, "duplicates", COPIES[0])
    trials: int = setting(
        20, help="trials, the first with the method's defaults", low=1, high=MOST_TRIALS
    )
    target: str = setting(
        CRITERION,
        help="criterion: what the methods stop by (no oracle, no test image); or another forget "
        "set, written as forget is: the gap to its oracle, an upper bound",
    )
    search: str | None = optional(
        help='what is searched: "lr" (its default range), "lr=0.001:0.1" or "lr=0.01,0.1", '
        "several with spaces between them (default: all settings of the method that have a range "
        "and are not given)",
    )
    seed: int = seed_setting("of the search and of each unlearning")
    resume_run_id: str | None = optional(
        help="continue that interrupted run; its options need not be given again"
    )


@dataclass(frozen=True)
class BackdoorOptions(Hyperparameters):
    """What to start from, and how to cleanse it."""

    prune_run_id: str = setting("auto", help="run of a poisoned original: an ID, or auto")
    mask_run_id: str | None = optional(
        help="train the poisoned original under the mask of that run; options not given are those "
        "of that run"
    )
    method: str = changed(UnlearnOptions, "method", DEFAULT_METHOD)
    suspects: str | None = optional(
        help=f"samples to forget if the poisoned ones are not known: {' or '.join(DETECTORS)} "
        "(detect them), or a file of sample numbers (default: the poisoned samples)"
    )
    duplicates: str = changed(UnlearnOptions, "duplicates", COPIES[0])
    oracle_run_id: str = changed(UnlearnOptions, "oracle_run_id", "find")
    sparsities: str | None = optional(
        help="repeat for each of these sparsities, in percent, separated by commas, in nested "
        "runs, and plot them together"
    )
    seed: int = changed(UnlearnOptions, "seed", 0)
    resume_run_id: str | None = changed(UnlearnOptions, "resume_run_id", None)
    register: str | None = register_setting()

    def __post_init__(self) -> None:
        super().__post_init__()
        self.percentages()

    def percentages(self) -> list[float]:
        """The sparsities: percentages from 0 to below 100, none twice."""
        found: list[float] = []
        text = self.sparsities
        if text is not None and text.count(",") >= MOST_SPARSITIES:
            raise UserError(f"sparsities={text!r}: at most {MOST_SPARSITIES}, a run for each")
        for word in [] if text is None else [one.strip() for one in text.split(",")]:
            try:
                value = float(word.removesuffix("%"))
            except ValueError:
                raise UserError(
                    f"sparsities={text!r}: {word!r} is not a number; write 0,50,95, say"
                ) from None
            if not 0 <= value < 100 or value in found:
                raise UserError(
                    f"sparsities={text!r}: {word} must be at least 0, below 100, and not be there "
                    "twice"
                )
            found.append(value)
        return found


@dataclass(frozen=True)
class EvaluateOptions(Hyperparameters):
    """What to measure, of which model."""

    run_id: str | None = optional(
        help="run of the model: unlearn, or prune with forget or suspects (the original itself)"
    )
    checkpoint: str | None = path_setting(
        help="folder with checkpoint/ and mask/ as runs log them, instead of a run"
    )
    forget: str | None = optional(
        help="forget set, if the model has none: class:3, random:10%, ..."
    )
    oracle_run_id: str = setting(
        "find", help="run of the oracle: find (by fingerprint), none, or an ID"
    )
    metrics: str = setting(
        "default",
        help="default, all, or names separated by commas: accuracy, membership, rates, "
        "calibration, planted, oracle, depth, klom, or single metrics",
    )
    run_ids: str | None = optional(
        help="more runs of the same unlearning with other seeds, separated by commas (klom)"
    )
    oracle_run_ids: str | None = optional(
        help="more oracles with other seeds, separated by commas (klom)"
    )
    suspects: str | None = optional(
        help=f"only find training samples that look poisoned, by {' or '.join(DETECTORS)}"
    )
    add: bool = setting(True, help="also add the metrics to the measured run")
    seed: int = seed_setting("of the samples of depth and their order")
    data_dir: str | None = path_setting(help="folder or file of the data, if it has moved")


@dataclass(frozen=True)
class EraseOptions(Hyperparameters):
    """What a deletion request asks for, and what is handed over at its end."""

    records: str | None = path_setting(
        help="the records: csv with the columns subject,record, or a list; a record is a file "
        "name, a pattern, the sha256 of a file's bytes, or a sample number"
    )
    subject: str | None = optional(help="only the records of that person, of the column subject")
    model: str | None = optional(
        help="the model in use: models:/NAME@ALIAS, models:/NAME/VERSION, or the ID of its run"
    )
    prune_run_id: str | None = optional(help="the run of the model, instead of model")
    method: str = setting(
        AUTO_METHOD,
        help="how to unlearn: auto (what met the policy on the same original before, else "
        f"retrain), {', '.join(METHODS)}",
    )
    kind: str = setting("erasure", help="what kind of request it is", choices=REQUEST_KINDS)
    received: str | None = optional(
        help="when the request was received: 2026-11-29 or 2026-11-29T09:30:00Z (default: now)"
    )
    policy: str | None = path_setting(
        help="thresholds, a YAML file; those that it leaves out are the default ones"
    )
    key: str | None = path_setting(
        help="private key that signs the evidence (mu keygen makes one); without it the evidence "
        "is not signed"
    )
    out: str | None = path_setting(
        help="a new folder for the evidence, which is kept in the run, too"
    )
    promote: str | None = optional(
        help="alias of the registered model that is moved to the new version, if the evidence "
        "holds: production"
    )
    purge: bool = setting(
        False, help="whether leftovers that hold records are removed, not only listed"
    )
    oracle_run_id: str = changed(UnlearnOptions, "oracle_run_id", "find")
    seed: int = changed(UnlearnOptions, "seed", 0)
    data_dir: str | None = path_setting(help="folder or file of the data, if it has moved")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.records is None:
            raise UserError("give records=FILE, the records that are to be forgotten (see --help)")
        if (self.model is None) == (self.prune_run_id is None):
            raise UserError("give model=models:/NAME@ALIAS or prune_run_id=ID, one of them")
        if self.subject is not None and not self.subject.strip():
            raise UserError("subject is empty; name a person of the column subject")


@dataclass(frozen=True)
class LiraOptions(Hyperparameters):
    """What to attack, and with how much effort."""

    unlearn_run_id: str = setting(
        "auto", help="run to attack: an ID, or auto, the newest finished one that is not an oracle"
    )
    references: int = setting(
        16,
        help="reference models to train, an even number; the paper takes 64 and more",
        low=2,
        high=100_000,
    )
    gamma: float = setting(
        1.0,
        help="RMIA's gamma: the ratio by which a sample must exceed one of the population",
        low=1.0,
    )
    retain_sample: int | None = optional(
        help="retained samples that are attacked, too; default: as many as are forgotten, at most "
        "a tenth of the retain set",
        low=0,
        high=10_000_000,
    )
    seed: int = seed_setting("of test images, halves and references")
    oracle_run_id: str = setting(
        "find", help="run of the oracle: find (that of the unlearn run, or by fingerprint), none, "
        "or an ID"
    )  # fmt: skip
    data_dir: str | None = path_setting(help="folder or file of the data, if it has moved")
    resume_run_id: str | None = optional(
        help="continue that interrupted run; only what is missing is trained"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.references % 2:
            raise UserError(
                f"references={self.references}: must be even, since references come in pairs; "
                f"give {self.references + 1}"
            )


@dataclass(frozen=True)
class TransferOptions(ForgetOptions):
    """What to forget, and the target."""

    unlearn_run_id: str = setting(
        "none",
        help="start from a finished unlearn run: an ID, or auto, the newest one that is not an "
        "oracle; none unlearns first",
    )
    target: str | None = optional(
        help=f"target data set: {', '.join(DATASETS)} or package.module:function"
    )
    target_dir: str | None = path_setting(help="folder or file of the data")
    target_stream: bool | None = optional(
        help="decode its images during training (default: if they do not fit in memory)"
    )
    tune: str = setting(
        DEFAULT_TUNE,
        help="what is fine-tuned: head (a new linear head on frozen features) or all",
        choices=tuple(TUNES),
    )
    seed: int = seed_setting("of the unlearning, the new head and the order of samples")
    register: str | None = register_setting()


@dataclass(frozen=True)
class CompareOptions(Hyperparameters):
    """What to compare, and what to show of it."""

    run_ids: str | None = optional(help="runs to compare: IDs separated by commas")
    parent: str | None = optional(help="compare the runs nested in that run: an ID")
    experiment: str | None = optional(
        help="compare all finished runs of that experiment (default: the current one)"
    )
    metrics: str | None = optional(
        help="columns, separated by commas: UA,MIA,gap (default: UA, MIA, RA, TA, ASR if logged, "
        "gap, RTE)"
    )
    title: str | None = optional(help="heading of the page")
    tracking_ui: str | None = optional(
        help="address of the MLflow server where runs are browsed, for the page's links: "
        "http://HOST:PORT (default: the server that shows the page; of a saved page the store's, "
        "or http://127.0.0.1:5000)"
    )


@dataclass(frozen=True)
class ClaimsOptions(Hyperparameters):
    """Which claims, and at which scale."""

    claims: str = setting("paper/claims.yaml", help="the claims, a YAML file")
    scale: str | None = path_setting(
        help="a YAML file that is added to each grid: data, network and training of the originals"
    )


@dataclass(frozen=True)
class DatasetOptions(Hyperparameters):
    """What to build, or what to verify."""

    source: str | None = path_setting(
        help="a folder or tar of class folders (train/, and test/ or val/), or a data set"
    )
    data_dir: str | None = path_setting(help="folder or file of a named data set")
    image_size: int | None = optional(
        help="side length to which a named data set resizes its images, if they differ",
        low=1,
        high=LARGEST_SIDE,
    )
    out: str | None = path_setting(help="the file to build")
    map_size: int | None = optional(
        help="largest size of the file in bytes (default: as large as needed)",
        low=2**20,
        high=2**44,
    )
    verify: str | None = path_setting(help="the file to check, byte by byte")


@dataclass(frozen=True)
class ExportOptions(Hyperparameters):
    """What to export, and as what."""

    run_id: str | None = optional(
        help="run that holds the network: prune, unlearn, backdoor or transfer; or "
        "models:/NAME@ALIAS"
    )
    format: str = setting(
        FORMATS[0],
        help="torch (a program of torch.export), safetensors (weights, and how to build the "
        "network), onnx",
        choices=FORMATS,
    )
    compact: bool = setting(
        True, help="remove what the mask has killed; the logits stay the same to rounding"
    )
    sparse_layers: bool = setting(
        False,
        help="keep layers sparse that are faster so on this machine, by timing; format=torch or "
        "safetensors",
    )
    precision: str = setting(
        FP32,
        help="fp32; bf16, with format=torch or safetensors; int8, with format=onnx, calibrated on "
        "training images that were not forgotten: the accuracy is measured and said beside",
        choices=PRECISIONS,
    )
    batch_size: int = setting(1, help="images of a pass that is timed", low=1, high=10_000)
    threads: int = setting(
        1, help="threads that it computes with on the CPU", low=1, high=MOST_PROCESSES
    )
    out: str | None = path_setting(help="a new folder for the files; the run keeps them, too")
    opset: int | None = optional(help=f"of format=onnx (default: {OPSET})", low=OPSET)
    data_dir: str | None = path_setting(help="folder or file of the data, if it has moved")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.opset is not None and self.format != "onnx":
            raise UserError(f"opset={self.opset}: only format=onnx has one; leave it out")
        if self.sparse_layers and self.format == "onnx":
            raise UserError(
                "sparse_layers=true: ONNX has no layer whose weights are sparse; give format=torch "
                "or format=safetensors"
            )
        if self.sparse_layers and not self.compact:
            raise UserError("sparse_layers=true needs compact=true, which is the default")
        if self.precision != FP32:
            self._check_precision()

    def _check_precision(self) -> None:
        given = f"precision={self.precision}"
        if self.precision == BF16 and self.format == "onnx":
            raise UserError(
                f"{given}: ONNX Runtime has no convolution in bf16 on the CPU; give format=torch "
                "or format=safetensors"
            )
        if self.precision == INT8 and self.format != "onnx":
            raise UserError(
                f"{given}: torch's quantised layers do not go through torch.export; give "
                "format=onnx"
            )
        if self.sparse_layers:
            raise UserError(f"{given}: sparse layers are fp32; leave sparse_layers out")
        if not self.compact:
            raise UserError(f"{given} needs compact=true, which is the default")


@dataclass(frozen=True)
class SweepOptions(Hyperparameters):
    """Which grid, and how it is run."""

    grid: str | None = path_setting(help="the grid, a YAML file")
    dry_run: bool = setting(False, help="only print the planned runs and an estimate of the time")
    yes: bool = setting(False, help=f"allow more than {MOST_RUNS} runs")
    engine: str = setting(
        "local",
        help="local: one after the other; processes: several at a time on this machine; ray: by a "
        "Ray cluster",
        choices=ENGINES,
    )
    jobs: int | None = optional(
        help="tasks at a time, for processes and ray (default: one for each GPU, or without GPUs "
        "for each core, with one thread, where memory allows)",
        low=1,
        high=MOST_PROCESSES,
    )
    retries: int = setting(1, help="how often a failed run is repeated", low=0, high=1000)
    recheck: int | None = optional(
        help="make so many finished unlearnings again, drawn at random, and say whether they come "
        "out as they are recorded",
        low=1,
    )
    ray_address: str | None = optional(
        help="the Ray cluster: host:port (default: one on this machine, for this sweep)"
    )
    resume_run_id: str | None = optional(
        help="continue that interrupted sweep; the grid need not be given again"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.grid is None and self.resume_run_id is None:
            raise UserError("give grid=FILE.yaml (see --help), or resume_run_id")
        if self.recheck is not None and (self.dry_run or self.resume_run_id is not None):
            given = "dry_run" if self.dry_run else "resume_run_id"
            raise UserError(
                f"recheck={self.recheck} makes runs of a finished grid; leave {given} out"
            )
        if self.engine == "local" and self.jobs not in (None, 1):
            raise UserError(
                f"jobs={self.jobs}: engine=local makes one run after the other; give "
                "engine=processes, or leave jobs out"
            )
        if self.engine != "ray" and self.ray_address is not None:
            raise UserError(f"ray_address={self.ray_address}: only engine=ray has one")
