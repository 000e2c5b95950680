"""``mu diff``: in what two runs differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mu.errors import UserError

if TYPE_CHECKING:
    from mu.run_record import RunRecord

HELP = """Show in what two runs differ, by their IDs or the first digits of them: settings, data,
lineage (original, mask, oracle), environment, and numbers, with whether a difference is more than
their intervals allow. What is equal is counted in a line.

\b
  mu diff 31e9601a 7c20d1aa
  mu diff 31e9601a 7c20d1aa --all    every number, not the main ones alone
"""


@click.command("diff", help=HELP, short_help="In what two runs differ, and what is the same.")
@click.argument("a", metavar="RUN_ID")
@click.argument("b", metavar="RUN_ID")
@click.option("--all", "everything", is_flag=True, help="Every number, not the main ones alone.")
def command(a: str, b: str, everything: bool) -> None:
    """Print it."""
    from mu.report.console import print_lines
    from mu.tracking import connect, read_run

    store = connect()
    one, other = read_run(store, a), read_run(store, b)
    if one.run_id == other.run_id:
        raise UserError(f"{a} and {b} are the same run; give another one")
    print_lines({"A": _title(one), "B": _title(other)})
    same = _print_settings(one, other)
    same += _print_numbers(one, other, everything)
    print_lines({"equal": "; ".join(same) or "nothing"})


def _title(one: RunRecord) -> str:
    state = "" if one.status == "FINISHED" else f" ({one.status})"
    return f"{one.run_id} {one.entry}: {one.name}{state}"


def _print_settings(one: RunRecord, other: RunRecord) -> list[str]:
    """What is not a number; gives what is the same, in words."""
    from mu.report.console import print_texts
    from mu.report.differences import differences, text_of

    apart, same = differences(one, other)
    for kind, pairs in apart.items():
        rows = [[name, *map(text_of, pair)] for name, pair in pairs.items()]
        if rows:
            print_texts("", [kind, "A", "B"], rows, "lll", plain=True)
            print()
    return [f"{kind} ({count})" for kind, count in same.items() if count]


def _print_numbers(one: RunRecord, other: RunRecord, everything: bool) -> list[str]:
    """The numbers of both; gives names of those that are the same."""
    from mu.report.console import print_notes, print_texts
    from mu.report.differences import LEGEND, MAIN, changes, row

    found, same = changes(one, other)
    if not everything and any(name in MAIN for name in found):
        shown = {name: its for name, its in found.items() if name in MAIN}
    else:
        shown = found
    if shown:
        rows = [row(name, its) for name, its in shown.items()]
        print_texts("", ["metric", "A", "B", "B - A", ""], rows, "lrrrl", plain=True)
        print_notes([LEGEND] if any(its.verdict for its in shown.values()) else [])
    if left := len(found) - len(shown):
        print_notes([f"{left} more numbers differ; --all shows them"])
    main = [name for name in same if name in MAIN]
    more = len(same) - len(main)
    return [", ".join([*main, *([f"{more} other numbers"] if more else [])])] if same else []
