"""Published data sets: where they lie, how torchvision opens them, one line where that fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mu.cache import cache_folder
from mu.data.files.decode import check_memory, decode
from mu.data.files.listing import Sample
from mu.data.files.tree import ImageTree
from mu.data.images import ImageDataset, Images, Statistics, channel_statistics
from mu.data.manifest import Manifest, PartFiles
from mu.errors import UserError

# In what every class of torchvision says where files are missing or are not the published ones.
NOT_FOUND = "download=True"

# Training and test images, where no checksum covers the lists.
COUNTS = {
    "gtsrb": (26_640, 12_630),
    "oxford_pets": (3_680, 3_669),
    "tiny_imagenet": (100_000, 10_000),
}
Listing = list[tuple[Path | str, int]]  # path inside the folder, label


@dataclass(frozen=True)
class Published:
    """A published data set in a folder."""

    # name, title: what it is called in mu, and in messages.
    name: str
    title: str
    folder: Path
    remedy: str = "name its folder with data_dir"  # what helps where its files are not to be had

    @classmethod
    @contextmanager
    def at(cls, data_dir: Path | None, name: str, title: str, **remedy: str) -> Iterator[Published]:
        """In ``data_dir``, by default in a folder of its name in the cache.

        What goes wrong in the block is said in one line, with the folder and the remedy.
        """
        place = cls(name, title, data_dir or cache_folder() / name, **remedy)
        try:
            yield place
        except UserError:
            raise
        except Exception as error:  # damaged bytes raise anything in whoever unpacks them
            raise UserError(
                f"the files of {title} in {str(place.folder)!r} are damaged or incomplete "
                f"({_reason(error)}); remove them to have them downloaded again, or {place.remedy}"
            ) from error

    def open(self, kind: Callable[..., Any], root: Path | None = None, **which: Any) -> Any:
        """The part ``which`` of torchvision's ``kind``, downloaded where it is not there.

        It is read from ``root``, by default from the folder.
        """
        root = root or self.folder
        with _leaving_no_empty_folders(root):
            try:
                return kind(root, download=False, **which)
            except RuntimeError as error:
                if NOT_FOUND not in str(error):
                    raise
            return self.download(lambda: kind(root, download=True, **which))

    def download(self, load: Callable[[], Any]) -> Any:
        """What ``load`` returns; one line where it fails, for whatever reason."""
        with _leaving_no_empty_folders(self.folder):
            try:
                return load()
            except Exception as error:  # of the network, the disk, or what was downloaded
                raise UserError(
                    f"{self.title} is neither whole in {str(self.folder)!r} nor can it be "
                    f"downloaded ({_reason(error)}); {self.remedy}"
                ) from error

    def check_counts(self, train: int, test: int) -> None:
        """Refuse other numbers than were published: sample numbers would be other ones, too."""
        published = COUNTS[self.name]
        if (train, test) != published:
            raise UserError(
                f"{self.title} in {str(self.folder)!r} has {train} training and {test} test "
                f"images, not {published[0]} and {published[1]}: it is incomplete or another "
                f"edition; remove it to have it downloaded again, or {self.remedy} "
                "(dataset=imagefolder reads any folder of class folders)"
            )

    def squares(
        self, train: Listing, test: Listing, classes: Iterable[str], size: int
    ) -> ImageDataset:
        """The data set of image files in the folder, as RGB squares of ``size`` pixels."""
        check_memory(len(train) + len(test), size, str(self.folder))
        tree, parts = ImageTree(self.folder), []
        for part in (train, test):
            named = [(Path(path).relative_to(self.folder).as_posix(), n) for path, n in part]
            parts.append(self.decode(tree, named, size))
        return self.of_files(parts, classes, size)

    def of_files(
        self, parts: list[tuple[Images, PartFiles]], classes: Iterable[str], size: int | None = None
    ) -> ImageDataset:
        """The data set of training and test images that were decoded from files."""
        (train, of_train), (test, of_test) = parts
        summary = f"{len(train):,} training and {len(test):,} test images of {self.title}"
        manifest = Manifest(str(self.folder), of_train, of_test, f"{summary} in {self.folder}")
        return self.dataset(train, test, classes, image_size=size, manifest=manifest)

    def decode(self, tree: ImageTree, samples: list[Sample], size: int) -> tuple[Images, PartFiles]:
        """:func:`mu.data.files.decode.decode`; errors name the folder and the remedy, too."""
        try:
            return decode(tree, samples, size)
        except UserError as error:
            where = f"{self.title} in {str(self.folder)!r}"
            raise UserError(f"{where}: {error}, or {self.remedy}") from error

    def dataset(
        self,
        train: Images,
        test: Images,
        classes: Iterable[str],
        *,
        statistics: Statistics | None = None,
        image_size: int | None = None,
        manifest: Manifest | None = None,
    ) -> ImageDataset:
        """The data set, normalised by exactly its own training images, or by known numbers."""
        return ImageDataset(
            self.name,
            train,
            test,
            tuple(classes),
            *(statistics or channel_statistics(train)),
            data_dir=str(self.folder),
            image_size=image_size,
            manifest=manifest,
        )


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


@contextmanager
def _leaving_no_empty_folders(root: Path) -> Iterator[None]:
    """Remove the folders that a failed download made and left empty; others stay."""
    before = _folders(root)
    try:
        yield
    finally:
        for made in sorted(_folders(root) - before, reverse=True):
            with suppress(OSError):  # it is not empty
                made.rmdir()


def _folders(root: Path) -> set[Path]:
    """``root`` and the two levels of folders below it, as far as they exist."""
    below = {path for levels in ("*/", "*/*/") for path in root.glob(levels)}
    return below | ({root} if root.is_dir() else set())
