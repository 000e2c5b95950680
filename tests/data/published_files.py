"""Small files in the formats in which data sets are published, and what a reader must find there.

Nothing is in the order of its labels, and no two images are the same.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat

from tests.helpers import encoded

Array = NDArray[np.uint8]


@dataclass(frozen=True)
class Published:
    """Files by path, and the arrays in them: (n, channels, height, width) and labels.

    ``spare`` are those whose damage or absence changes nothing.
    """

    files: Mapping[str, bytes]
    train: tuple[Array, list[int]]
    test: tuple[Array, list[int]]
    classes: tuple[str, ...]
    spare: tuple[str, ...] = ()


def pictures(count: int, size: int, seed: int, channels: int = 3) -> Array:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, channels, size, size), dtype=np.uint8)


def png(picture: Array) -> bytes:
    """Without loss, whatever the name says: readers look at the content."""
    return encoded(np.ascontiguousarray(picture.transpose(1, 2, 0)))


def mat(**arrays: object) -> bytes:
    stream = io.BytesIO()
    savemat(stream, arrays)
    return stream.getvalue()


def idx(array: Array) -> bytes:
    """An array of bytes in the IDX format of the MNIST files."""
    sizes = b"".join(struct.pack(">I", size) for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def mnist() -> Published:
    train, test = pictures(6, 28, 1, 1), pictures(3, 28, 2, 1)
    labels = [5, 0, 9, 1, 9, 3], [7, 2, 1]
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    contents = {
        "train-images-idx3-ubyte": train[:, 0],
        "train-labels-idx1-ubyte": np.array(labels[0], np.uint8),
        "t10k-images-idx3-ubyte": test[:, 0],
        "t10k-labels-idx1-ubyte": np.array(labels[1], np.uint8),
    }
    return Published(
        {f"MNIST/raw/{name}": idx(array) for name, array in contents.items()},
        (train, labels[0]),
        (test, labels[1]),
        tuple(f"{number} - {name}" for number, name in enumerate(names)),
    )


def cifar100() -> Published:
    train, test = pictures(5, 32, 3), pictures(3, 32, 4)
    labels = [99, 0, 42, 7, 42], [1, 98, 3]
    classes = [f"fine {number}" for number in range(100)]
    contents = {
        "train": {"data": train.reshape(5, -1), "fine_labels": labels[0], "coarse_labels": [1] * 5},
        "test": {"data": test.reshape(3, -1), "fine_labels": labels[1], "coarse_labels": [2] * 3},
        "meta": {"fine_label_names": classes, "coarse_label_names": ["coarse"] * 20},
    }
    return Published(
        {f"cifar-100-python/{name}": pickle.dumps(one, 2) for name, one in contents.items()},
        (train, labels[0]),
        (test, labels[1]),
        tuple(classes),
    )


def svhn() -> Published:
    train, test = pictures(5, 32, 5), pictures(4, 32, 6)
    labels = [3, 0, 9, 0, 1], [8, 0, 2, 5]

    def part(images: Array, digits: list[int]) -> bytes:
        column = np.array([[digit or 10] for digit in digits], np.uint8)
        return mat(X=images.transpose(2, 3, 1, 0), y=column)

    return Published(
        {"train_32x32.mat": part(train, labels[0]), "test_32x32.mat": part(test, labels[1])},
        (train, labels[0]),
        (test, labels[1]),
        tuple("0123456789"),
    )


def stl10() -> Published:
    train, test = pictures(4, 96, 7), pictures(3, 96, 8)
    labels = [9, 0, 4, 7], [2, 1, 8]
    names = ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"]

    def columns(images: Array) -> bytes:  # channel by channel, column by column
        return images.transpose(0, 1, 3, 2).tobytes()

    contents = {
        "train_X.bin": columns(train),
        "train_y.bin": bytes(label + 1 for label in labels[0]),
        "test_X.bin": columns(test),
        "test_y.bin": bytes(label + 1 for label in labels[1]),
        "class_names.txt": "\n".join(names).encode(),
    }
    return Published(
        {f"stl10_binary/{name}": content for name, content in contents.items()},
        (train, labels[0]),
        (test, labels[1]),
        tuple(names),
        spare=("stl10_binary/class_names.txt",),
    )


def gtsrb() -> Published:
    train, test = pictures(43 + 2, 8, 9), pictures(3, 8, 10)
    # Class by class, by file name: class 1 has three images.
    labels = [0, 1, 1, 1, *range(2, 43)], [40, 3, 0]
    seen: dict[int, int] = {}
    files = {"GT-final_test.csv": b"Filename;Width;Height;ClassId\n"}
    for image, label in zip(train, labels[0], strict=True):
        seen[label] = seen.get(label, -1) + 1
        name = f"GTSRB/Training/{label:05d}/{seen[label]:05d}_00000.ppm"
        files[name] = encoded(np.ascontiguousarray(image.transpose(1, 2, 0)), "PPM")
    files["GTSRB/Training/00001/GT-00001.csv"] = b"Filename;Width;Height;ClassId\n"
    for number, image, label in zip([2, 0, 1], test, labels[1], strict=True):
        name = f"{number:05d}.ppm"
        content = encoded(np.ascontiguousarray(image.transpose(1, 2, 0)), "PPM")
        files[f"GTSRB/Final_Test/Images/{name}"] = content
        files["GT-final_test.csv"] += f"{name};8;8;{label}\n".encode()
    return Published(
        {f"gtsrb/{name}": content for name, content in files.items()},
        (train, labels[0]),
        (test, labels[1]),
        tuple(map(str, range(43))),
        spare=("gtsrb/GTSRB/Training/00001/GT-00001.csv",),
    )


def flowers102() -> Published:
    from torchvision.datasets import Flowers102

    train, test = pictures(5, 8, 11), pictures(3, 8, 12)
    labels = [101, 3, 0, 50, 3], [7, 0, 101]
    numbers = [8, 2, 5, 1, 4], [7, 3, 6]  # of the images: train 8, 2, 5; val 1, 4
    every = dict(zip(numbers[0] + numbers[1], labels[0] + labels[1], strict=True))
    files = {
        f"jpg/image_{number:05d}.jpg": png(image)
        for images, part in zip((train, test), numbers, strict=True)
        for image, number in zip(images, part, strict=True)
    }
    files["imagelabels.mat"] = mat(labels=[every[number] + 1 for number in range(1, 9)])
    files["setid.mat"] = mat(trnid=numbers[0][:3], valid=numbers[0][3:], tstid=numbers[1])
    return Published(
        {f"flowers-102/{name}": content for name, content in files.items()},
        (train, labels[0]),
        (test, labels[1]),
        tuple(Flowers102.classes),
    )


def oxford_pets() -> Published:
    train, test = pictures(4, 8, 13), pictures(3, 8, 14)
    labels = [2, 0, 1, 0], [1, 2, 0]
    breeds = "Abyssinian", "american_bulldog", "Russian_Blue"
    files: dict[str, bytes] = {}
    for part, images, values, first in (
        ("trainval", train, labels[0], 10),
        ("test", test, labels[1], 20),
    ):
        lines = ""
        for number, (image, label) in enumerate(zip(images, values, strict=True), first):
            files[f"images/{breeds[label]}_{number}.jpg"] = png(image)
            lines += f"{breeds[label]}_{number} {label + 1} 1 {label + 1}\n"
        files[f"annotations/{part}.txt"] = lines.encode()
    return Published(
        {f"oxford-iiit-pet/{name}": content for name, content in files.items()},
        (train, labels[0]),
        (test, labels[1]),
        ("Abyssinian", "American Bulldog", "Russian Blue"),
    )


def tiny_imagenet() -> Published:
    train, test = pictures(7, 64, 15), pictures(4, 64, 16)
    labels = [0, 0, 0, 1, 2, 2, 3], [3, 0, 2, 1]
    wnids = "n01443537", "n01742172", "n02012849", "n03126707"
    stored = ["0", "10", "2", "5", "1", "3", "7"]  # by name, _10 comes before _2
    files: dict[str, bytes] = {
        "wnids.txt": b"n03126707\nn01443537\nn02012849\nn01742172\n",
        "words.txt": b"n00001740\tentity\n"
        b"n03126707\tcrane\n"
        b"n01443537\tgoldfish, Carassius auratus\n"
        b"n01742172\tboa constrictor, Constrictor constrictor\n"
        b"n02012849\tcrane\n"
        b"n15300051\tthe last one is no class here\n",
        "test/images/test_0.JPEG": b"nothing",
    }
    for image, label, number in zip(train, labels[0], stored, strict=True):
        wnid = wnids[label]
        files[f"train/{wnid}/images/{wnid}_{number}.JPEG"] = png(image)
        files[f"train/{wnid}/{wnid}_boxes.txt"] = b"boxes"
    lines = ""
    for image, label, number in zip(test, labels[1], [1, 0, 3, 2], strict=True):
        files[f"val/images/val_{number}.JPEG"] = png(image)
        lines += f"val_{number}.JPEG\t{wnids[label]}\t0\t0\t63\t63\n"
    files["val/val_annotations.txt"] = lines.encode()
    return Published(
        {f"tiny-imagenet-200/{name}": content for name, content in files.items()},
        (train, labels[0]),
        (test, labels[1]),
        ("goldfish", "boa constrictor", "crane (n02012849)", "crane (n03126707)"),
        spare=tuple(
            f"tiny-imagenet-200/{name}"
            for name in files
            if name.startswith("test/") or name.endswith("boxes.txt")
        ),
    )


MADE: dict[str, Callable[[], Published]] = {
    "mnist": mnist,
    "cifar100": cifar100,
    "svhn": svhn,
    "stl10": stl10,
    "gtsrb": gtsrb,
    "flowers102": flowers102,
    "oxford_pets": oxford_pets,
    "tiny_imagenet": tiny_imagenet,
}
