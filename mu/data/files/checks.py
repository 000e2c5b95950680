"""Folders that look like classes and are none: refused, in one line that says what was seen."""

from __future__ import annotations

from mu.data.files.levels import CONTAINERS, Level, role_of
from mu.data.files.listing import counted, suffixes_of
from mu.data.files.names import is_image, shown
from mu.data.files.tree import LOST, OTHER, UNDECODABLE, ImageTree
from mu.errors import UserError

ANNOTATIONS = {"annotation", "annotations", "segmentation", "segmentations", "trimaps", "bboxes"}
# Words that may also be classes, unless they stand beside a folder of images.
PERHAPS = {
    *("mask", "masks", "label", "labels", "meta", "xml", "xmls", "groundtruth", "ground_truth"),
    *("depth", "thumb", "thumbs", "preview", "previews"),
}
# Files and folders of published sets, and what reads them.
PUBLISHED = {
    "final_test": "dataset=gtsrb downloads and reads GTSRB with the labels of its test images",
    "final_training": "dataset=gtsrb downloads and reads GTSRB with its test images",
    "wnids.txt": "dataset=tiny_imagenet reads Tiny ImageNet as published",
    "trimaps": "dataset=oxford_pets reads the Oxford-IIIT pets as published",
    "imagelabels.mat": "dataset=flowers102 reads the 102 flowers as published",
}
SORTED = "put the images of each class into a folder of its name"
MOST = 6  # names in a message


def is_annotation(folder: str) -> bool:
    """Whether a folder of this name, beside one of images, holds what is known of them."""
    return folder.lower() in ANNOTATIONS | PERHAPS


def listed(names: list[str]) -> str:
    """Names in words, with how many more there are."""
    some = ", ".join(shown(name) for name in names[:MOST])
    return some + (f" and {len(names) - MOST} more" if len(names) > MOST else "")


def here(tree: ImageTree, path: str) -> str:
    """A folder of the tree, for messages."""
    inside = f"{shown(path)}/ in " if path else ""
    return f"{inside}{str(tree.root)!r}"


def published(tree: ImageTree) -> str:
    """What reads the tree better where it is a well-known set as published, else ``""``."""
    seen = {
        path.rpartition("/")[2].lower() for path in (*tree.folders, *tree.skipped.get(OTHER, ()))
    }
    return next((f"; {remedy}" for name, remedy in PUBLISHED.items() if name in seen), "")


def no_class_folders(tree: ImageTree, level: Level, remedy: str) -> UserError:
    """An error: the images of a folder lie in it directly."""
    some = " and ".join(repr(shown(name)) for name in level.loose[:2])
    return UserError(
        f"{here(tree, level.path)} holds {counted(len(level.loose), 'images')} in no class "
        f"folders, such as {some}: no labels are known{published(tree)}; {remedy}"
    )


def check_links(tree: ImageTree, level: Level, *, parts: bool = False) -> None:
    """Refuse links that lead nowhere where class folders (or ``parts``) lie: one may be missing."""
    for reason in LOST:
        links = Level.of(level.path, tree.skipped.get(reason, ()))
        for path in links.loose:
            name = path.rpartition("/")[2]
            if not is_image(name) and (not parts or role_of(name)):
                raise UserError(
                    f"{shown(path)} in {str(tree.root)!r} is one of the {reason}: "
                    f"a {'part' if parts else 'class'} may be missing; repair or remove it"
                )


def check_classes(tree: ImageTree, level: Level) -> None:
    """Refuse folders that do not look like those of classes."""
    place = here(tree, level.path)
    check_links(tree, level)
    if {folder.lower() for folder in level.folders} < CONTAINERS and len(level.folders) == 1:
        raise no_class_folders(tree, level.below(*level.folders), SORTED)
    if len(level.folders) < 2:
        raise UserError(
            f"{place} has one class only: {listed([*level.folders])}; name the folder above the "
            "class folders, or add another class"
        )
    _check_annotations(tree, level)
    for folder in level.folders:
        if folder != folder.encode(errors="replace").decode():
            raise UserError(f"the name of the class {folder!r} in {place} is no UTF-8; rename it")
        below = level.below(folder)
        if below.divided:
            parts = " and ".join(f"{shown(one)}/" for one in below.roles)
            raise UserError(
                f"{shown(folder)}/ in {place} holds {parts}: these are parts, and {shown(folder)} "
                "is no class; name the folder of the parts with data_dir, or put class folders "
                "below train/ and test/"
            )
        _check_annotations(tree, below)
    _check_undecodable(tree, level)


def _check_annotations(tree: ImageTree, level: Level) -> None:
    names = {folder: folder.lower() for folder in level.folders}
    images = [folder for folder, name in names.items() if name in CONTAINERS]
    notes = [folder for folder, name in names.items() if name in ANNOTATIONS]
    notes += [folder for folder, name in names.items() if images and name in PERHAPS]
    if notes and len(names) > 1:
        raise UserError(
            f"{here(tree, level.path)} holds {listed([*names])}: {shown(notes[0])}/ looks like "
            f"annotations, which are no class{published(tree)}; name a folder of class folders "
            "with data_dir, or rename what is a class"
        )


def check_copies(tree: ImageTree, level: Level) -> None:
    """Refuse folders which all hold the same folders: editions or copies of one set."""
    inner = {folder: level.below(folder) for folder in level.folders}
    sets = {folder: {*below.folders} for folder, below in inner.items() if not below.loose}
    for folder, names in sets.items():
        others = {*level.folders} - {folder}
        if len(others) > 1 and others == names - {folder}:
            raise UserError(
                f"{shown(folder)}/ in {here(tree, level.path)} holds folders of the names beside "
                f"it ({listed(sorted(names))}): it looks like a copy; remove it, or name it alone "
                "with data_dir"
            )
    first = next(iter(sets.values()), set())
    alike = len(sets) == len(inner) and all(names == first for names in sets.values())
    if alike and len(first) > max(2, len(inner)):
        raise UserError(
            f"the folders of {here(tree, level.path)} ({listed([*inner])}) all hold the same "
            f"{len(first)} folders ({listed(sorted(first))}), which look like the classes; name "
            "one of the former with data_dir"
        )


def _check_undecodable(tree: ImageTree, level: Level) -> None:
    lost = Level.of(level.path, tree.skipped.get(UNDECODABLE, ()))
    for folder, paths in lost.folders.items():
        if folder not in level.folders:
            count = counted(len(paths), "images")
            raise UserError(
                f"{shown(folder)}/ in {here(tree, level.path)} holds {count} "
                f"of formats that cannot be decoded ({suffixes_of(paths)}) and no other; convert "
                "them, to PNG, say"
            )
