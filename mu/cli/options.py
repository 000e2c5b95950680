"""Command-line options made from the fields of settings, so that each stands in one place."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import click

from mu.errors import UserError
from mu.hyperparameters import Hyperparameters, base_type, checked_value, range_text

Given = dict[str, Any]

if TYPE_CHECKING:
    _ParamType = click.ParamType["_Value"]
else:
    _ParamType = click.ParamType  # generic since click 8.2 only


@dataclass(frozen=True)
class Group:
    """Some settings on a command line; groups of one heading stand together in its help."""

    settings: type[Hyperparameters]
    prefix: str = ""  # of each name, where two groups of one command have the same names
    # What the help says of defaults that are other ones in this command, by name.
    defaults: Mapping[str, str] = field(default_factory=dict)
    heading: str = ""  # by default the first sentence that the settings say of themselves
    keeps_prefix: bool = False  # what was given has its prefix in its name, as it was typed

    def names(self) -> list[str]:
        """The settings, by the names that :meth:`given` has."""
        prefix = self.prefix if self.keeps_prefix else ""
        return [prefix + name for name in self.settings.names()]

    def options(self) -> list[click.Option]:
        """An option for each setting; one that is not given has the value None."""
        hints = get_type_hints(self.settings)
        kinds = {
            one.name: _SettingType(one, hints[one.name])
            for one in dataclasses.fields(self.settings)
        }
        found = [
            _option(kind, self.prefix, self.defaults.get(name)) for name, kind in kinds.items()
        ]
        for name, former in self.settings.former_names().items():
            flag = f"--{(self.prefix + former).replace('_', '-')}"
            kind = kinds[name]
            found.append(click.Option([flag, self.prefix + former], type=kind, hidden=True))
        return found

    def given(self, values: Mapping[str, Any]) -> Given:
        """The settings of this group that were given, by :meth:`names`.

        UserError if one was given by its former name, too.
        """
        names = (*self.settings.names(), *self.settings.former_names().values())
        given = self.settings.renamed(
            {
                name: values[self.prefix + name].value
                for name in names
                if values.get(self.prefix + name) is not None
            }
        )
        return {self.prefix + n: v for n, v in given.items()} if self.keeps_prefix else given


@dataclass(frozen=True)
class _Value:
    """A value that was given; it may be None (``none``, ``auto``), unlike one that was not."""

    value: Any


class _SettingType(_ParamType):
    """Reads a setting's text, and refuses what is out of its range.

    ``none`` and ``auto`` mean None where the setting allows it.
    """

    def __init__(self, one: dataclasses.Field[Any], annotation: Any) -> None:
        self.field, self.annotation = one, annotation
        self._choices = one.metadata["choices"]  # augment=none is a choice, not the lack of one
        self._optional = type(None) in get_args(annotation)
        self._kind = base_type(annotation)
        self.name = self._kind.__name__

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> _Value:
        if isinstance(value, _Value):
            return value
        word = str(value).lower()
        if self._optional and word in ("none", "auto") and word not in self._choices:
            return _Value(None)
        name = (param.name if param else None) or "value"
        try:
            read = click.BOOL.convert(value, param, ctx) if self._kind is bool else None
            found = self._kind(value) if read is None else read
        except (ValueError, click.BadParameter):
            share = str(value).removesuffix("%")
            percent = self.name == "float" and share != value and share.replace(".", "").isdigit()
            hint = f"; as a share, {value} is {float(share) / 100:g}" if percent else ""
            raise UserError(f"{name}={value!r} is not of type {self.name}{hint}") from None
        return _Value(checked_value(self.field, self.annotation, found, name))


def _option(kind: _SettingType, prefix: str, default: str | None) -> click.Option:
    one, name = kind.field, prefix + kind.field.name
    return click.Option(
        [f"--{name.replace('_', '-')}", name],
        type=kind,
        help=_help(one, default),
        metavar=base_type(kind.annotation).__name__.upper().replace("STR", "TEXT"),
    )


def _help(one: dataclasses.Field[Any], default: str | None) -> str:
    """Help, choices, range and default of a setting, in one sentence."""
    words = [str(one.metadata["help"])]
    if choices := one.metadata["choices"]:
        words.append(f"one of {', '.join(choices)}")
    if text := range_text(one):
        words.append(text)
    if default is None and one.default not in (dataclasses.MISSING, None):
        default = str(one.default)
    if default is not None:
        words.append(f"default {default}")
    return "; ".join(words)


def command(
    name: str,
    help: str,
    groups: Sequence[Group],
    action: Callable[[Mapping[str, Any]], None],
    arguments: Sequence[click.Argument] = (),
) -> click.Command:
    """A command with the options of all ``groups``; hyphens and underscores mean the same."""
    sections: dict[str, list[click.Option]] = {}
    for group in groups:
        heading = group.heading or str(group.settings.__doc__).partition(".")[0].strip()
        sections.setdefault(heading, []).extend(group.options())
    return _Sectioned(
        name,
        sections,
        params=[*arguments, *(option for options in sections.values() for option in options)],
        callback=lambda **values: action(values),
        help=help,
        context_settings={
            "token_normalize_func": lambda text: text.replace("_", "-"),
            "help_option_names": ["--help", "-h"],
            "max_content_width": 100,
        },
    )


class _Sectioned(click.Command):
    """A command whose help shows its options below headings."""

    def __init__(self, name: str, sections: Mapping[str, Sequence[click.Option]], **rest: Any):
        super().__init__(name, **rest)
        self._sections = sections

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, each below the heading of its group, ``--help`` last."""
        shown = [one for options in self._sections.values() for one in options]
        others = [one for one in self.get_params(ctx) if one not in shown]
        for heading, options in {**self._sections, "Help": others}.items():
            rows = [record for one in options if (record := one.get_help_record(ctx))]
            with formatter.section(heading):
                formatter.write_dl(rows)


class Late(click.Command):
    """A command of a group whose options depend on what is typed, so it is built only then.

    ``build`` is called with the words that follow the command's name.
    """

    def __init__(
        self, name: str, help: str, build: Callable[[Sequence[str]], click.Command]
    ) -> None:
        super().__init__(name, help=help)
        self._build = build

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """The context of the command that ``args`` ask for."""
        return self._build(args).make_context(info_name, args, parent, **extra)


def peek(arguments: Sequence[str], name: str, default: str) -> str:
    """The value of one option, before the command that parses all of them can be built."""
    found = default
    for index, argument in enumerate(arguments):
        flag, equals, value = argument.partition("=")
        if not flag.startswith("--") or flag[2:].replace("-", "_") != name:
            continue
        if equals:
            found = value
        elif index + 1 < len(arguments):
            found = arguments[index + 1]
    return found
