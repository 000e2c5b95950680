"""The entry dataset: build a file of images or verify one, then show and log what it holds."""

from __future__ import annotations

from pathlib import Path

from mu.cli.requests import DatasetOptions, Request
from mu.data import DATASETS, load_data
from mu.data.files.decode import decode_rgb
from mu.data.store.builder import build
from mu.data.store.card import Card
from mu.data.store.reader import ImageStore, digest_file, verify
from mu.data.store.sources import Contents, of_dataset, of_tree
from mu.errors import UserError
from mu.report import console, contact_sheet, prose
from mu.report.run_names import run_name
from mu.runs import Run
from mu.tasks.base import run_task
from mu.tasks.outputs import log_files, write_json
from mu.tracking import Recorder, Store, browse, connect


def dataset(request: Request) -> None:
    """Build or verify; everything that can be checked is checked before a run is opened."""
    options = DatasetOptions.of(request.entry)
    if (options.verify is None) == (options.source is None):
        raise UserError("give source and out to build a file, or verify to check one")
    if options.verify is None and options.out is None:
        raise UserError("give out, the file to build, beside source")
    path = Path(str(options.verify or options.out)).expanduser().absolute()
    if options.verify is not None:
        found: Card | Contents = verify(path)
        done, title = "verified: every byte is as it was written", "verifies"
    else:
        found, title = _contents(options), "builds"
        done = f"built, with {digest_file(path).name} beside it"
        if path.exists():  # the same command said again, say after an interruption at the end
            found, title = build(found, path, decode_rgb), "verifies"
            done = "complete already, with just these images"
    store = connect()

    def work(recorder: Recorder) -> Card:
        recorder.params(options.as_dict())
        if isinstance(found, Contents) and found.summary:
            log_files(recorder, found.summary, found.left_out)
        card = found if isinstance(found, Card) else _build(options, found, path)
        _save(recorder, path, card)
        return card

    run_id, card = run_task(store, "dataset", run_name(title, path.name), work)
    _print(store, run_id, path, card, done)


def _build(options: DatasetOptions, contents: Contents, out: Path) -> Card:
    total, written = len(contents.places()), 0
    with Run(device="cpu").progress(f"building {out.name}", total) as advance:

        def more(images: int) -> None:
            nonlocal written
            written += images
            advance(images, f"{written:,} of {total:,} images")

        return build(contents, out, decode_rgb, map_size=options.map_size, advance=more)


def _contents(options: DatasetOptions) -> Contents:
    assert options.source is not None
    place = Path(options.source).expanduser()
    if options.source in DATASETS or not place.exists():
        return of_dataset(load_data(options.source, options.data_dir, options.image_size))
    for name in ("data_dir", "image_size"):
        if getattr(options, name) is not None:
            raise UserError(
                f"{name}={getattr(options, name)}: images of a folder or tar go in as they are; "
                f"leave {name} out"
            )
    return of_tree(place.absolute())


def _save(recorder: Recorder, path: Path, card: Card) -> None:
    """What the run shows: the card, some pictures, and the file as an MLflow dataset."""
    digest = digest_file(path).read_text().split()[0]
    recorder.metrics({"train_images": card.size("train"), "test_images": card.size("test")})
    write_json(recorder.folder / "card.json", {**card.as_dict(), "sha256": digest})
    recorder.describe(prose.describe_images(card, digest))
    with ImageStore(path) as images:
        contact_sheet.plot_contact_sheet(images, recorder.folder / "plots" / "contact_sheet.png")
    recorder.dataset(card.name, digest[:16], str(path), card.as_dict(), "built")


def _print(store: Store, run_id: str, path: Path, card: Card, done: str) -> None:
    (small, large), mib = (card.smallest, card.largest), path.stat().st_size / 2**20
    numbers = {
        "file": f"{path}, {mib:,.1f} MiB; {done}",
        "classes": f"{len(card.classes)}: {', '.join(card.classes[:8])}"
        + (", ..." if len(card.classes) > 8 else ""),
        "images": f"{card.size('train'):,} to train on, {card.size('test'):,} to test",
        "sizes": f"{small[0]}x{small[1]} to {large[0]}x{large[1]}",
        "mean": ", ".join(f"{one:.4f}" for one in card.mean),
        "deviation": ", ".join(f"{one:.4f}" for one in card.std),
        "sha256": digest_file(path).read_text().split()[0],
        "use": f"mlflow run . -e prune -P dataset=lmdb -P data_dir={path}",
        "browse": browse(store, run_id=run_id),
    }
    console.print_summary(f"images of {card.source}", numbers)
