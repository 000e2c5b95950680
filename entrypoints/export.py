"""Export the network of a finished run as files that load without mu."""

from mu.cli.exporting import build_entry as build
from mu.cli.main import run

if __name__ == "__main__":
    run(build)
