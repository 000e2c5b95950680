"""Classes of a data set, by name or number."""

from __future__ import annotations

from typing import Protocol

from mu.errors import UserError


class Named(Protocol):
    """What has classes: a data set, or what a spec says of one."""

    @property
    def name(self) -> str:
        """Of the data set."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, by label."""


def labels_of(text: str, dataset: Named) -> list[tuple[str, int]]:
    """The classes of a list with commas: each as it was written, and its label.

    A name may hold commas itself (``tench, Tinca tinca``): as many words as make a name are taken
    for one. UserError if there is no class of that name or number, or there are more names than
    classes.
    """
    if text in dataset.classes:  # with its spaces, if it has any
        return [(text, label_of(text, dataset))]
    words, found = text.split(","), []
    longest = 1 + max(name.count(",") for name in dataset.classes)
    if len(words) > longest * len(dataset.classes):
        raise UserError(
            f"class {text!r} names more classes than the {len(dataset.classes)} of {dataset.name}; "
            "name each once"
        )
    while words:
        sizes = range(min(longest, len(words)), 0, -1)
        names = [",".join(words[:size]).strip() for size in sizes]
        name = next((one for one in names if one in dataset.classes), names[-1])
        found.append((name, label_of(name, dataset)))
        del words[: len(names) - names.index(name)]
    return found


def label_of(text: str, dataset: Named, option: str = "class") -> int:
    """The label of the class of that name or number.

    UserError if there is none; ``option`` says what it was given for.
    """
    names = dataset.classes
    if text in names:
        return names.index(text)
    if text.isdecimal() and len(text) < 10 and int(text) < len(names):
        return int(text)
    raise UserError(
        f"there is no {option} {text!r} in {dataset.name}; its {len(names)} classes "
        f"are 0 to {len(names) - 1}: {', '.join(names[:12])}{', ...' * (len(names) > 12)}"
    )
