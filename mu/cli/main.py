"""Running a command: one line and status 2 for a user's mistake, never a traceback for it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from mu import environment
from mu.errors import UserError, nearest

if TYPE_CHECKING:
    from mu.registry import Registered

USER_MISTAKE = 2


def run(build: Callable[[Sequence[str]], click.Command], arguments: Sequence[str]) -> None:
    """Build a command for ``arguments``, run it, and end the process.

    The exit status is 0 when all is well, 2 for a mistake of the user, and 128 + signal when it
    was stopped. Any other exception is a defect of mu and shows its traceback.
    """
    environment.prepare()
    try:
        build(arguments).main(list(arguments), standalone_mode=False)
    except click.NoSuchOption as error:
        _fail(_no_such_option(error))
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message())
    except click.ClickException as error:
        _fail(error.format_message())
    except UserError as error:
        _fail(str(error))
    except (KeyboardInterrupt, click.Abort):
        _stopped(signal.SIGINT)
    except BaseException as error:
        number = getattr(error, "number", None)  # of mu.tracking.Stopped, not imported for this
        if number is None:
            raise
        _stopped(number)
    sys.exit(0)


def _no_such_option(error: click.NoSuchOption) -> str:
    name = error.option_name.lstrip("-").replace("-", "_")
    if error.ctx is None:
        return error.format_message()
    command = error.ctx.command
    known = [option.name for option in command.params if option.name]
    owners = _owners(known)
    if name in owners:
        return f"{name!r} is an option of {' and '.join(owners[name])}, not of {command.name}"
    near = [
        f"{one} of {owners[one][0]}" if one in owners else one
        for one in nearest(name, {*known, *owners})
    ]
    remedy = f"did you mean {' or '.join(near)}?" if near else "--help lists what there is"
    return f"unknown option of {command.name} {name!r}; {remedy}"


def _owners(known: Sequence[str]) -> dict[str, list[str]]:
    """The options that a command would have with other methods, pruners or triggers; with which.

    Parameters
    ----------
    known
        The options that it has.
    """
    from mu.data.triggers import TRIGGERS
    from mu.methods import METHODS
    from mu.pruning import PRUNERS

    found: dict[str, list[str]] = {}
    choices: dict[str, tuple[str, Mapping[str, type[Registered]]]] = {
        "method": ("", METHODS),
        "pruner": ("", PRUNERS),
        "prune_pruner": ("prune_", PRUNERS),
        "trigger": ("trigger_", TRIGGERS),
    }
    for option in sorted({*choices} & {*known}):
        prefix, registry = choices[option]
        for chosen, settings in registry.items():
            for one in {prefix + own for own in settings.names()} - {*known}:
                found.setdefault(one, []).append(f"{option}={chosen}")
    return found


def _fail(message: str) -> None:
    line = " ".join(message.split())
    print(f"error: {line}", file=sys.stderr)
    if "MLFLOW_RUN_ID" in os.environ:  # MLflow's launcher opened a run that nobody attached to
        from mu.tracking.lifecycle import fail_launched_run

        fail_launched_run(line)
    sys.exit(USER_MISTAKE)


def _stopped(number: int) -> None:
    print(f"stopped by {signal.Signals(number).name}", file=sys.stderr)
    sys.exit(128 + number)
