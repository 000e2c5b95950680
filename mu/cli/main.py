"""Running a command: one line and status 2 for a user's mistake, never a traceback for it."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import click

from mu import environment
from mu.cli.options import Group, peek
from mu.cli.requests import DeviceOptions
from mu.distributed.place import be_silent, place
from mu.errors import UserError, full_disk, nearest, one_line

if TYPE_CHECKING:
    from mu.distributed.launch import RanksFailedError
    from mu.registry import Registered

USER_MISTAKE = 2
EXIT_SECONDS = 5.0  # that threads are waited for, once a signal ends the process


def run(
    build: Callable[[Sequence[str]], click.Command],
    arguments: Sequence[str] | None = None,
    *,
    launches: bool = True,
) -> None:
    """Build a command for ``arguments`` (default: this process's), run it, and end the process.

    The exit status is 0 when all is well, 2 for a mistake of the user, and 128 + signal when it
    was stopped. Any other exception is a defect of mu and shows its traceback. Only a process whose
    arguments these are does not wait for threads when it is stopped: another has more to do.

    ``launches``: whether ``devices=N`` means that the command is run by N processes. In each of
    them it is run as by one; the first one tracks and prints, the others are silent.
    """
    environment.prepare()
    atexit.register(gc.freeze)  # the process ends: what is left need not be looked through
    gc.disable()  # imports bring nothing to collect; looking takes a third of their time
    try:
        with _failures_told():
            _perform(build, sys.argv[1:] if arguments is None else arguments, launches)
    except click.NoSuchOption as error:
        _fail(_no_such_option(error))
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message())
    except click.ClickException as error:
        _fail(error.format_message())
    except UserError as error:
        _fail(str(error))
    except MemoryError as error:
        _fail(f"there is too little memory ({error}); give a smaller image_size or batch_size")
    except (KeyboardInterrupt, click.Abort):
        _stopped(signal.SIGINT, waits=arguments is not None)
    except BaseException as error:
        number = getattr(error, "number", None)  # of mu.tracking.Stopped, not imported for this
        if number is not None:
            _stopped(number, waits=arguments is not None)
        if (why := full_disk(error)) is None:
            raise
        _fail(f"a disk is full ({why}); make room and start again; TMPDIR names the scratch folder")
    finally:
        gc.enable()
    sys.exit(0)


def _perform(
    build: Callable[[Sequence[str]], click.Command], arguments: Sequence[str], launches: bool
) -> None:
    here, words = place(), list(arguments)
    if here.size > 1 and not launches:
        raise UserError(f"this is {here} of a launcher's; start it once, and give devices")
    command = build(words)
    devices = _devices(words)
    if here.size > 1 and any(one.name == "devices" for one in command.params):
        from mu.devices import check_ranks  # loads torch

        check_ranks(devices)
        words.append(f"--devices={here.size}")  # what is recorded is what there was
    if here.size > 1 or devices == 1 or not launches:
        command.main(words, standalone_mode=False)
    else:
        _launch(command, words, devices)


def _devices(arguments: Sequence[str]) -> int:
    """How many processes are wanted; 1 where the command line says so, is wrong, or wants help."""
    text = peek(arguments, "devices", "1")
    return int(text) if text.isdecimal() and not {"-h", "--help"} & {*arguments} else 1


def _launch(command: click.Command, arguments: Sequence[str], devices: int) -> None:
    """Have so many processes run the command, once what can be checked before is checked."""
    context = command.make_context(command.name, list(arguments))
    from mu.devices import check_device_count
    from mu.distributed.launch import RanksFailedError, program

    given = DeviceOptions.of(Group(DeviceOptions).given(context.params))
    check_device_count(given.device, devices, given.sync_bn)
    try:
        program(arguments, devices)
    except RanksFailedError as error:
        if error.reason and not error.stopped:
            print(f"error: {error.reason}", file=sys.stderr)
        if error.reason:
            _close_runs(error)
        sys.exit(error.status)


def _close_runs(error: RanksFailedError) -> None:
    """Close what killed ranks had open; those that ended by themselves have done it."""
    import socket

    from mu.tracking import close_runs_of, connect

    store = connect()
    for process in error.processes:
        status = "KILLED" if error.stopped else "FAILED"
        close_runs_of(store, socket.gethostname(), process, status, str(error))


@contextmanager
def _failures_told() -> Iterator[None]:
    """Where a launcher started this process: join the others, and tell them what ends it."""
    if place().size == 1:
        yield
        return
    if not place().is_first:
        be_silent()
        os.environ.pop("MLFLOW_RUN_ID", None)  # of the first one
    from mu.distributed import group  # loads torch

    group.join()
    try:
        yield
    except BaseException as error:
        group.failed(error)
        raise


def _no_such_option(error: click.NoSuchOption) -> str:
    name = error.option_name.lstrip("-").replace("-", "_")
    if error.ctx is None:
        return error.format_message()
    command = error.ctx.command
    known = [option.name for option in command.params if option.name]
    owners = _owners(known)
    if name in owners:
        return f"{name!r} is an option of {' and '.join(owners[name])}, not of {command.name}"
    near = nearest(name, [*known, *owners])
    whose = f" of {owners[near][0]}" if near in owners else ""
    remedy = f"did you mean {near}{whose}?" if near else "--help lists what there is"
    return f"unknown option of {command.name} {name!r}; {remedy}"


def _owners(known: Sequence[str]) -> dict[str, list[str]]:
    """The options that a command would have with other methods, pruners and the like; with which.

    ``known``: the options that it has.
    """
    from mu.data.triggers import TRIGGERS
    from mu.detection import DETECTORS
    from mu.methods import METHODS
    from mu.pruning import PRUNERS

    found: dict[str, list[str]] = {}
    choices: dict[str, tuple[str, Mapping[str, type[Registered]]]] = {
        "method": ("", METHODS),
        "pruner": ("", PRUNERS),
        "prune_pruner": ("prune_", PRUNERS),
        "trigger": ("trigger_", TRIGGERS),
        "suspects": ("suspects_", DETECTORS),
    }
    for option in sorted({*choices} & {*known}):
        prefix, registry = choices[option]
        for chosen, settings in registry.items():
            for one in {
                prefix + own for own in (*settings.names(), *settings.former_names().values())
            } - {*known}:
                found.setdefault(one, []).append(f"{option}={chosen}")
    return found


def _fail(message: str) -> None:
    line = one_line(message)
    print(f"error: {line}", file=sys.stderr)
    if "MLFLOW_RUN_ID" in os.environ:  # MLflow's launcher opened a run that nobody attached to
        from mu.tracking.lifecycle import fail_launched_run

        fail_launched_run(line)
    sys.exit(USER_MISTAKE)


def _stopped(number: int, *, waits: bool) -> None:
    print(f"stopped by {signal.Signals(number).name}", file=sys.stderr, flush=True)
    if not waits:
        # All is closed. But Python waits at its end for the threads of every pool, such as those
        # that MLflow fetches files with, and these for a silent server: minutes.
        with suppress(OSError):
            sys.stdout.flush()
        end = threading.Timer(EXIT_SECONDS, os._exit, (128 + number,))
        end.daemon = True
        end.start()
    sys.exit(128 + number)
