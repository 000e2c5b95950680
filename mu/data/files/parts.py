"""Which images are for training and which for testing: the layouts of folders that people have.

Class folders below ``train/`` and ``test/`` (or ``val/``), under the usual names of parts in any
case; or class folders alone, of which every fifth image, in the order of file names, is for
testing. A folder around all of them does not count.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping

from mu.data.files.checks import (
    SORTED,
    check_classes,
    check_copies,
    check_links,
    here,
    is_annotation,
    listed,
    no_class_folders,
    published,
)
from mu.data.files.levels import CONTAINERS, Level, role_of
from mu.data.files.listing import Listing, Sample, left_out
from mu.data.files.names import shown
from mu.data.files.tree import ImageTree
from mu.errors import UserError

HOLD_OUT = 5
# Names of parts that are classes, too, where their images lie beside other classes.
ALSO_CLASSES = {"train", "valid"}

LOOSE = "images that lie outside of the class folders"
UNLABELLED = "images without labels"
FURTHER = "images of a further part"
ELSEWHERE = "images in folders beside the parts"
ANNOTATION = "images in folders of annotations"
EMPTY = "folders without images beside those of the classes"


def class_folders(tree: ImageTree, part: str) -> dict[str, list[str]]:
    """The folders below ``part`` (``""`` for the root itself), and their images; both sorted."""
    return dict(Level.of(part, tree.names).folders)


def labelled(folders: Mapping[str, list[str]], classes: Iterable[str]) -> list[Sample]:
    """(path, label) of every image in the folders of these classes, class by class."""
    return [(path, n) for n, name in enumerate(classes) for path in folders.get(name, ())]


def listing_of(tree: ImageTree) -> Listing:
    """Classes, training and test images, and everything else with the reason to leave it out.

    UserError if it is not clear which folders are classes; the line says what was seen.
    """
    top = _unwrapped(Level.of("", tree.names))
    reasons: dict[str, str] = {}
    if _around_classes(top):
        (chosen,) = (folder for folder in top.folders if folder.lower() in CONTAINERS)
        reasons = {top.where(one): ANNOTATION for one in top.folders if one != chosen}
        top = _unwrapped(top.below(chosen))
    check_links(tree, top, parts=True)
    if _parted(tree, top):
        return _of_parts(tree, top, reasons)
    return _of_classes(tree, top, reasons)


def _unwrapped(level: Level) -> Level:
    """The folder itself, or the one that it is merely a wrapper of."""
    while len(level.folders) == 1 and not level.flat:
        (only,) = level.folders
        below = level.below(only)
        if below.flat or (role_of(only) and not below.divided):
            break
        level = below
    return level


def _around_classes(level: Level) -> bool:
    """Whether there is a folder of class folders or parts, and annotations beside it alone."""
    images = [folder for folder in level.folders if folder.lower() in CONTAINERS]
    if len(images) != 1 or len(level.folders) < 2:
        return False
    if not all(folder in images or is_annotation(folder) for folder in level.folders):
        return False
    inner = _unwrapped(level.below(images[0]))
    return not inner.flat and len(inner.folders) > 1


def _parted(tree: ImageTree, top: Level) -> bool:
    """Whether folders are parts; refused where that is not clear."""
    roles = top.roles
    if top.divided or not roles:
        return top.divided
    plain = [folder for folder in top.folders if folder not in roles]
    names = ", ".join(f"{shown(folder)}/" for folder in roles)
    if not plain:
        train = [folder for folder, role in roles.items() if role == "train"]
        lacks = "neither test/ nor val/ beside it" if train else "no train/ beside it"
        alone = ""
        if train and tree.root.is_dir():
            alone = f", or name {shown(top.where(train[0]))}/ itself with data_dir"
        raise UserError(
            f"{here(tree, top.path)} has {names} but {lacks}{published(tree)}; add the missing "
            f"part{alone}"
        )
    only = next(iter(roles))
    images = {folder.lower() for folder in plain} & CONTAINERS
    if len(roles) == 1 and only.lower() in ALSO_CLASSES and not images | {*top.below(only).folders}:
        return False
    raise UserError(
        f"{here(tree, top.path)} holds {names} beside {listed(plain)}: it is not clear whether "
        "these are parts or classes; leave only train/ and test/, or only class folders, or rename "
        "what is a class"
    )


def _of_parts(tree: ImageTree, top: Level, reasons: dict[str, str]) -> Listing:
    """Training and test part; everything beside them is left out."""
    roles = top.roles
    train = _inside(top.below(_single(tree, top, "train")))
    if train.flat:
        raise no_class_folders(tree, train, SORTED)
    check_classes(tree, train)
    beside = [folder for folder in top.folders if folder not in roles]
    if mixed := [folder for folder in beside if folder in train.folders]:
        raise UserError(
            f"{here(tree, top.path)} holds {listed(mixed)} beside parts, and so does "
            f"{shown(train.path)}/; leave one of them"
        )
    held = _held(tree, top, train)
    if extra := sorted(held.folders.keys() - train.folders.keys()):
        alike = {_folded(name) for name in extra} & {_folded(name) for name in train.folders}
        why = "; it has names that differ in case or Unicode form alone" if alike else ""
        raise UserError(
            f"{here(tree, held.path)} has classes that {shown(train.path)}/ lacks: "
            f"{listed(extra)}{why}; add them there, or rename or remove them"
        )
    for folder in top.folders:
        place = top.where(folder)
        if folder not in roles:
            reasons[place] = ELSEWHERE
        elif not any(f"{part.path}/".startswith(f"{place}/") for part in (train, held)):
            further = roles[folder] != "unlabelled" and not _inside(top.below(folder)).flat
            reasons[place] = FURTHER if further else UNLABELLED
    samples = [labelled(part.folders, train.folders) for part in (train, held)]
    return _listing(tree, train, samples, reasons, (train.path, held.path))


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _held(tree: ImageTree, top: Level, train: Level) -> Level:
    """The part to test with: test/, or val/ where that has no class folders."""
    parts = [
        _inside(top.below(_single(tree, top, role)))
        for role in ("test", "val")
        if role in top.roles.values()
    ]
    for part in parts:
        if not part.flat:
            return part
    alone = f", or name {shown(train.path)}/ alone with data_dir" if tree.root.is_dir() else ""
    raise no_class_folders(tree, parts[0], SORTED + alone)


def _single(tree: ImageTree, top: Level, role: str) -> str:
    found = [folder for folder, one in top.roles.items() if one == role]
    if len(found) > 1:
        names = " and ".join(f"{shown(folder)}/" for folder in found)
        raise UserError(
            f"{here(tree, top.path)} holds {names}: it is not clear which one is the {role} part; "
            "leave one of them"
        )
    return found[0]


def _inside(part: Level) -> Level:
    """The part itself, or the folder in it that merely repeats its name, or is called images."""
    (name,) = part.path.split("/")[-1:]
    while len(part.folders) == 1 and not part.flat:
        (only,) = part.folders
        if only.lower() not in CONTAINERS and role_of(only) != role_of(name) and only != name:
            break
        part = part.below(only)
    return part


def _of_classes(tree: ImageTree, top: Level, reasons: dict[str, str]) -> Listing:
    """Class folders alone: every fifth image of a class is for testing."""
    if top.flat:
        raise no_class_folders(tree, top, f"{SORTED} below train/ and test/, or alone")
    if not top.folders:
        seen = f" (but {left_out(tree.skipped)})" if tree.skipped else ""
        raise UserError(
            f"{str(tree.root)!r} holds no class folders with images{seen}; name a folder or "
            "archive with train/ and test/ (or val/), or the class folders themselves"
        )
    check_classes(tree, top)
    check_copies(tree, top)
    kept: dict[str, list[str]] = {}
    held: dict[str, list[str]] = {}
    for name, paths in top.folders.items():
        held[name] = paths[HOLD_OUT - 1 :: HOLD_OUT]
        kept[name] = [path for n, path in enumerate(paths, 1) if n % HOLD_OUT]
    samples = [labelled(part, top.folders) for part in (kept, held)]
    return _listing(tree, top, samples, reasons, (top.path, top.path))


def _listing(
    tree: ImageTree,
    classes: Level,
    samples: list[list[Sample]],
    reasons: dict[str, str],
    places: tuple[str, str],
) -> Listing:
    """Each image is in a part, or named with the reason why it is in none."""
    skipped = {reason: list(paths) for reason, paths in tree.skipped.items()}
    used = {path for part in samples for path, _ in part}
    for path in sorted(name for name in tree.names if name not in used):
        found = (reason for place, reason in reasons.items() if path.startswith(f"{place}/"))
        skipped.setdefault(next(found, LOOSE), []).append(path)
    if empty := [path for path in _below(tree, classes) if path not in classes.folders]:
        skipped[EMPTY] = [classes.where(path) for path in empty]
    train, test = samples
    return Listing(tuple(classes.folders), train, test, skipped, places)


def _below(tree: ImageTree, level: Level) -> list[str]:
    """The names of the folders in a folder, whether there are images in them or not."""
    prefix = f"{level.path}/" if level.path else ""
    names = (path[len(prefix) :] for path in tree.folders if path.startswith(prefix))
    return [name for name in names if "/" not in name]
