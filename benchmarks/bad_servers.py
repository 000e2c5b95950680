"""What a bad tracking server costs: RTE of one unlearning, beside that with a fast server.

    python -m benchmarks.bad_servers                       ten minutes, on an idle machine

The server gets slow (a second an answer), silent (it accepts and never answers) or goes down when
the first epoch has been logged. Silence and outage end after half a minute. The weights must be the
same bits each time; RTE should be the same, too.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from mu.tracking import Store, connect
from tests.conftest import store_uri
from tests.processes import ROOT, environment
from tests.tracking.proxies import Proxy, proxy_of
from tests.tracking.test_server import Server

KINDS = ("fast", "slow", "silent", "down")
SECONDS = 30.0  # of silence and outage
LINE = "--prune_epochs 2 --method ft --oracle_run_id none --device cpu --epochs"


def trouble(proxy: Proxy, kind: str) -> None:
    """Make the server bad; it gets well by itself, except where it is slow."""
    if kind == "fast":
        return
    if kind == "slow":
        proxy.seconds = 1.0
        return
    setattr(proxy, kind, True)

    def end() -> None:
        setattr(proxy, kind, False)
        proxy.released.set()

    threading.Timer(SECONDS, end).start()


def unlearn(store: Store, proxy: Proxy, kind: str, epochs: int) -> tuple[float, float, str]:
    """RTE, the seconds of the whole command, and the weights' fingerprint."""
    before = {run.info.run_id for run in store.search("")}
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "entrypoints.unlearn", *LINE.split(), str(epochs)],
        env=environment({"MLFLOW_TRACKING_URI": proxy.uri}), cwd=ROOT,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        new = None
        while new is None and process.poll() is None:
            time.sleep(0.1)
            runs = store.search("tags.`mu.entry` = 'unlearn' and metrics.loss >= 0")
            new = next((run for run in runs if run.info.run_id not in before), None)
        trouble(proxy, kind)
        text, _ = process.communicate()
    if process.returncode or new is None:
        raise RuntimeError(text)
    seconds, run = time.monotonic() - began, store.run(new.info.run_id)
    proxy.seconds = 0.0
    proxy.released.clear()
    return run.data.metrics["RTE"], seconds, run.data.tags["mu.weights"]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    folder = Path(tempfile.mkdtemp(prefix="mu-servers-"))
    connect(store_uri(folder / "empty.db"))
    server = Server(folder / "empty.db", folder / "server")
    try:
        server.wait()
        store = connect(server.uri)
        with proxy_of(server.uri) as proxy:
            unlearn(store, proxy, "fast", 1)  # makes the original
            print("| server | RTE in s | whole command in s | weights |\n|---|---:|---:|---|")
            for kind in KINDS * options.repeats:
                rte, seconds, weights = unlearn(store, proxy, kind, options.epochs)
                print(f"| {kind} | {rte:.2f} | {seconds:.1f} | `{weights}` |", flush=True)
    finally:
        server.kill()


if __name__ == "__main__":
    main()
