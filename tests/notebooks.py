"""The notebooks with their outputs: ``make notebooks`` executes and stores them in place.

What is stored depends on what a notebook computes and shows alone: not on the machine, the folder
or the time, so far as that is possible. ``python -m tests.notebooks NAME...`` does some of them.
"""

from __future__ import annotations

import base64
import io
import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

from tests.processes import environment

FOLDER = Path(__file__).parents[1] / "notebooks"
LONGEST = 900  # seconds a cell, on a machine with much else to do
FOREIGN = ("MLFLOW_", "MU_", "MPL", "IPYTHON", "JUPYTER")  # settings that are the user's own
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def notebooks() -> list[Path]:
    return sorted(FOLDER.glob("*.ipynb"))


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def executed(path: Path) -> NotebookNode:
    """The notebook as its cells leave it, from top to bottom, started where Jupyter starts it.

    The kernel has temporary files of its own, and nobody's settings of mu, MLflow, matplotlib and
    IPython, but where mu keeps what it measured of the machine.
    """
    notebook = read(path)
    resources = {"metadata": {"path": str(FOLDER)}}
    with tempfile.TemporaryDirectory() as scratch:
        kept = {name: one for name, one in environment().items() if not name.startswith(FOREIGN)}
        cache = {"MU_CACHE": os.environ["MU_CACHE"]} if "MU_CACHE" in os.environ else {}
        own = dict.fromkeys(("TMPDIR", "IPYTHONDIR", "MPLCONFIGDIR"), scratch)
        own["PYTHONWARNINGS"] = "ignore:IProgress not found"  # of tqdm, where there are no widgets
        client = NotebookClient(
            notebook, timeout=LONGEST, kernel_name="python3", record_timing=False,
            resources=resources, extra_arguments=["--log-level=ERROR"],
        )  # fmt: skip
        client.execute(env={**kept, **cache, **own})
    return normalised(notebook)


def normalised(notebook: NotebookNode) -> NotebookNode:
    """Without what differs from machine to machine, and with pictures as small as they can be."""
    notebook.metadata = NotebookNode(METADATA)
    for cell in notebook.cells:
        cell.metadata = NotebookNode()
        for output in cell.get("outputs", []):
            output.pop("transient", None)
            if "metadata" in output:
                output.metadata = NotebookNode()
            if png := output.get("data", {}).get("image/png"):
                output.data["image/png"] = _small(png)
    return notebook


def _small(png: str) -> str:
    """A picture of at most 256 colours, without the name and version of what drew it."""
    picture, file = Image.open(io.BytesIO(base64.b64decode(png))), io.BytesIO()
    picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(file, "png", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def main(names: list[str]) -> None:
    for path in notebooks():
        if not names or path.stem in names:
            done = executed(path)
            nbformat.write(done, path)
            print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
