"""Finished runs of a store, kept as a small file (:mod:`mu.tracking.saved_runs`), and back.

python -m benchmarks.records save benchmarks/results/NAME.jsonl.xz
python -m benchmarks.records load benchmarks/results/NAME.jsonl.xz
"""

from __future__ import annotations

import argparse
import json
import lzma
from pathlib import Path

from mu.tracking import connect
from mu.tracking.saved_runs import load, save


def main() -> None:
    """Save or load."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("what", choices=("save", "load"))
    parser.add_argument("file", type=Path)
    given = parser.parse_args()
    if given.what == "load" and not given.file.is_file():
        parser.error(f"there is no file {given.file}; give one that `save` wrote")
    store = connect()
    if given.what == "save":
        print(f"{save(store, given.file)} runs, {given.file.stat().st_size / 1e3:.0f} kB")
    else:
        try:
            made, there = load(store, given.file)
        except (lzma.LZMAError, UnicodeDecodeError, json.JSONDecodeError) as error:
            parser.error(f"{given.file} is no file that `save` wrote: {error}")
        print(f"{made} runs loaded" + (f", {there} were here" if there else ""))


if __name__ == "__main__":
    main()
