"""Archives: links and odd members of tars and zips give what unpacking them would give."""

from __future__ import annotations

import io
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mu.data import load_data
from mu.data.files import archive, folder, members
from mu.data.files.tree import ImageTree
from tests.data.files.trees import add_link, image, listed, numbered, paths, plant, tar_of, zip_of
from tests.helpers import laws, refused

BOTH = [*numbered(3, "train/cat", "train/dog"), *numbered(1, "test/cat", "test/dog")]
Stored = tuple[str, str | bytes | None]  # name; bytes of a file, or "type target", or a folder


def tar(path: Path, stored: list[Stored], mode: str = "w") -> Path:
    """Members in this order: files of bytes, ``hard NAME``, ``soft NAME``, ``fifo`` or folders."""
    with tarfile.open(path, mode) as packed:  # type: ignore[call-overload]
        for name, what in stored:
            member = tarfile.TarInfo(name)
            if isinstance(what, bytes):
                member.size = len(what)
                packed.addfile(member, io.BytesIO(what))
                continue
            kind, _, member.linkname = (what or "dir").partition(" ")
            member.type = {
                "hard": tarfile.LNKTYPE,
                "soft": tarfile.SYMTYPE,
                "fifo": tarfile.FIFOTYPE,
                "dir": tarfile.DIRTYPE,
            }[kind]
            packed.addfile(member)
    return path


def files(names: list[str]) -> list[Stored]:
    return [(name, image(name)) for name in names]


def read(place: Path, name: str) -> bytes:
    ((found, content),) = ImageTree(place).read([name])
    assert found == name
    return content


# --- links --------------------------------------------------------------------------------

LINKS = {
    "a hard link": ("train/dog/x.png", "hard train/cat/00.png"),
    "a hard link, with ./": ("./train/dog/x.png", "hard ./train/cat/00.png"),
    "a symbolic link": ("train/dog/x.png", "soft ../cat/00.png"),
    "a symbolic link with detours": ("train/dog/x.png", "soft .././../train//cat/./00.png"),
    "a hard link to a symbolic one": ("train/dog/x.png", "hard train/cat/y.png"),
    "a symbolic link to a hard one": ("train/dog/x.png", "soft ../cat/z.png"),
    "a symbolic link through a linked folder": ("train/dog/x.png", "soft ../../alias/00.png"),
}
AIDS: list[Stored] = [
    ("train/cat/y.png", "soft 00.png"),
    ("train/cat/z.png", "hard train/cat/00.png"),
    ("alias", "soft train/cat"),
]


@pytest.mark.parametrize("first", [False, True], ids=["after its target", "before its target"])
@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("kind", LINKS)
def test_links_in_a_tar_are_images(kind: str, mode: str, first: bool, tmp_path: Path) -> None:
    links = [LINKS[kind], *AIDS]
    stored = [*links, *files(BOTH)] if first else [*files(BOTH), *links]
    place = tar(tmp_path / "a.tar", stored, mode)

    train, _ = paths(listed(place))

    assert "train/dog/x.png" in train
    assert read(place, "train/dog/x.png") == image("train/cat/00.png")
    labels = [0] * 5 + [1] * 4
    assert load_data("imagefolder", place).train.labels.tolist() == labels


def test_a_linked_folder_in_an_archive_is_a_class(tmp_path: Path) -> None:
    root = plant(tmp_path / "root", [*BOTH, *numbered(2, "store/owls")])
    for part in ("train", "test"):
        (root / part / "owl").symlink_to("../store/owls")
    expected = listed(root)

    assert expected.classes == ("cat", "dog", "owl")
    for place in (tar_of(root, tmp_path / "a.tar"), zip_of(root, tmp_path / "a.zip")):
        assert listed(place) == expected
        assert read(place, "train/owl/01.png") == image("store/owls/01.png")


OUT = {
    "to an absolute path": "soft /etc/hostname",
    "above the archive": "soft ../../../secret.png",
    "hard, above the archive": "hard ../secret.png",
    "to nothing": "soft nothing.png",
    "hard, to nothing": "hard nothing.png",
    "to itself": "soft x.png",
    "hard, to itself": "hard train/cat/x.png",
}


@pytest.mark.parametrize("kind", OUT)
def test_links_that_lead_out_or_nowhere_are_named(kind: str, tmp_path: Path) -> None:
    plant(tmp_path, ["secret.png"])
    place = tar(tmp_path / "a.tar", [*files(BOTH), ("train/cat/x.png", OUT[kind])])
    found = listed(place)

    assert len(found.train) == 6
    assert list(found.skipped.values()) == [["train/cat/x.png"]]
    assert "links that lead" in next(iter(found.skipped))
    assert list(ImageTree(place).read(["train/cat/x.png"])) == []


def test_a_zip_follows_its_links_and_names_those_that_lead_out(tmp_path: Path) -> None:
    place = tmp_path / "a.zip"
    with zipfile.ZipFile(place, "w") as packed:
        add_link(packed, "train/dog/x.png", "../cat/00.png")
        add_link(packed, "train/dog/out.png", "/etc/hostname")
        add_link(packed, "train/dog/up.png", "../../../../etc/hostname")
        add_link(packed, "train/dog/gone.png", "gone")
        for name in BOTH:
            packed.writestr(name, image(name))
    found = listed(place)

    assert len(found.train) == 7
    assert read(place, "train/dog/x.png") == image("train/cat/00.png")
    assert found.skipped == {
        "links that lead nowhere": ["train/dog/gone.png"],
        "links that lead out of the archive": ["train/dog/out.png", "train/dog/up.png"],
    }


def test_loops_of_links_in_an_archive_end(tmp_path: Path) -> None:
    links: list[Stored] = [
        ("train/cat/up", "soft .."),
        ("train/cat/a.png", "soft b.png"),
        ("train/cat/b.png", "soft a.png"),
        ("train/dog/c.png", "hard train/dog/d.png"),
        ("train/dog/d.png", "hard train/dog/c.png"),
    ]
    found = listed(tar(tmp_path / "a.tar", [*links, *files(BOTH)]))

    assert len(found.train) == 6
    assert found.skipped["links that lead back to a folder above"] == ["train/cat/up"]
    assert len(found.skipped["links that lead nowhere"]) == 4


@laws(25)
@given(
    links=st.dictionaries(
        st.sampled_from(["train/cat/l1", "train/cat/l2.png", "train/dog/l3", "train/dog/l4.png"]),
        st.sampled_from([
            "..", "../dog", "../dog/00.png", "01.png", "l2.png", "../cat/l1", "../dog/l3/l4.png",
            "../../test/cat", "nothing", "../dog/l3",
        ]),
        max_size=4,
    )
)  # fmt: skip
def test_any_links_give_the_same_in_a_folder_and_in_archives(
    links: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    base = tmp_path_factory.mktemp("links")
    root = plant(base / "root", BOTH, links)
    expected = ImageTree(root)
    contents = {name: (root / name).read_bytes() for name in expected.names}
    for place in (tar_of(root, base / "a.tar"), zip_of(root, base / "a.zip")):
        tree = ImageTree(place)
        assert tree.names == expected.names
        assert tree.skipped == expected.skipped
        assert dict(tree.read(tree.names)) == contents


# --- names --------------------------------------------------------------------------------


def test_names_that_lead_out_are_named_and_absolute_ones_read_as_tar_reads_them(
    tmp_path: Path,
) -> None:
    names = [f"/{name}" for name in BOTH]
    out = ["../train/cat/a.png", "train/../../b.png"]
    place = tar(tmp_path / "a.tar", files([*names, *out]))
    found = listed(place)

    assert paths(found) == paths(listed(plant(tmp_path / "root", BOTH)))
    assert found.skipped == {"members that lead out of the archive": sorted(out)}


@pytest.mark.parametrize("system", [0, 3])
def test_backslashes_are_slashes_where_windows_wrote_them(system: int, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        for name in BOTH:
            info = zipfile.ZipInfo(name)
            info.filename = name if system else name.replace("/", "\\")
            info.create_system = system
            packed.writestr(info, image(name))

    assert len(listed(tmp_path / "a.zip").train) == 6


def test_of_a_member_stored_twice_the_later_counts_and_links_keep_what_they_were(
    tmp_path: Path,
) -> None:
    """As unpacking would have it: a hard link is to the bytes, not to the name."""
    old, new = image("old.png"), image("new.png")
    stored: list[Stored] = [
        *files(BOTH),
        ("train/cat/00.png", old),
        ("train/dog/hard.png", "hard train/cat/00.png"),
        ("train/dog/soft.png", "soft ../cat/00.png"),
        ("train/cat/00.png", new),
        ("train/cat/01.png", "soft 00.png"),
    ]
    place = tar(tmp_path / "a.tar", stored)
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    subprocess.run(["tar", "-xf", place, "-C", unpacked], check=True)

    assert listed(place) == listed(unpacked)
    for name in ImageTree(unpacked).names:
        assert read(place, name) == (unpacked / name).read_bytes()
    assert read(place, "train/dog/hard.png") == old


def test_pipes_and_devices_are_named(tmp_path: Path) -> None:
    place = tar(tmp_path / "a.tar", [*files(BOTH), ("train/cat/pipe.png", "fifo")])

    assert listed(place).skipped == {"neither files nor folders": ["train/cat/pipe.png"]}


# --- limits -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["tar.gz", "zip", "folder"])
def test_an_image_of_too_many_bytes_is_refused_before_it_is_read(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "LARGEST", 10_000)
    root = plant(tmp_path / "root", BOTH)
    (root / "train/cat/bomb.png").write_bytes(bytes(10_001))
    place = {
        "folder": lambda: root,
        "tar.gz": lambda: tar_of(root, tmp_path / "a.tar.gz"),
        "zip": lambda: zip_of(root, tmp_path / "a.zip"),
    }[kind]()
    assert kind == "folder" or place.stat().st_size < 10_000

    with refused("train/cat/bomb.png", "MiB", "remove it"):
        load_data("imagefolder", place)


def test_a_zip_that_promises_less_than_it_holds_is_refused(tmp_path: Path) -> None:
    root = plant(tmp_path / "root", BOTH)
    bomb = root / "train/cat/00.png"
    bomb.write_bytes(image("a.png") + bytes(3 * 2**20))
    place = zip_of(root, tmp_path / "a.zip")
    whole = place.read_bytes()
    real, said = (n.to_bytes(4, "little") for n in (bomb.stat().st_size, 100))
    assert whole.count(real) == 2
    place.write_bytes(whole.replace(real, said))

    with refused("a.zip", "no readable zip"):
        load_data("imagefolder", place, 4)


def test_a_header_of_gigabytes_is_refused_before_it_is_read(tmp_path: Path) -> None:
    member = tarfile.TarInfo("long")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 2**33
    (tmp_path / "a.tar").write_bytes(member.tobuf(tarfile.GNU_FORMAT) + bytes(1024))

    with refused("a.tar", "a header of 8,589,934,592 bytes"):
        listed(tmp_path / "a.tar")


def test_a_member_counts_by_what_its_header_says_before_it_is_there(tmp_path: Path) -> None:
    """A gigabyte of zeros is a megabyte of gzip; nothing after the header needs to be read."""
    member = tarfile.TarInfo("train/cat/bomb.png")
    member.size = folder.LARGEST + 2**20
    plain = tar_of(plant(tmp_path / "root", BOTH), tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(plain.rstrip(b"\0") + bytes(-len(plain.rstrip(b"\0")) % 512)
                                     + member.tobuf(tarfile.USTAR_FORMAT))  # fmt: skip

    with refused("train/cat/bomb.png", "513 MiB", "512 MiB"):
        listed(tmp_path / "a.tar")


def test_a_link_in_a_zip_whose_target_is_a_book_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "LONGEST", 1000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        add_link(packed, "train/cat/a.png", "b" * 1001)

    with refused("a.zip", "a link of 1,001 bytes"):
        listed(tmp_path / "a.zip")


@pytest.mark.parametrize("pack", [None, tar_of, zip_of], ids=["folder", "tar", "zip"])
def test_links_that_multiply_are_refused(pack, tmp_path: Path) -> None:
    """Ten links to a folder of ten links to a folder ...: ten thousand million paths."""
    links = {f"l{n}/{k}": f"../l{n + 1}" for n in range(10) for k in range(10)}
    root = plant(tmp_path / "root", [*BOTH, "l10/a.png"], links)

    with refused("over 100 paths of links", "remove links"):
        listed(pack(root, tmp_path / "packed") if pack else root)


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_an_archive_of_zeros_is_refused(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "SLACK", 0)
    root = plant(tmp_path / "root", BOTH)
    place = (tar_of if kind == "tar.gz" else zip_of)(root, tmp_path / f"a.{kind}")
    assert listed(place).classes == ("cat", "dog")

    (root / "notes.txt").write_bytes(bytes(2**22))
    place = (tar_of if kind == "tar.gz" else zip_of)(root, tmp_path / f"b.{kind}")
    with refused(f"b.{kind}", "over 200 times its size"):
        listed(place)


def test_an_empty_zip_is_a_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w"):
        pass

    with refused("a.zip", "no class folders with images"):
        listed(tmp_path / "a.zip")
