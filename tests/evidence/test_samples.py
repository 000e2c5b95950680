"""The samples in the docs: they verify with their key, and not with one byte changed."""

from pathlib import Path

import pytest

from mu.erasure.effect import recompute
from mu.evidence.bundle import STATEMENT, Bundle
from mu.evidence.signing import load_public_key
from mu.evidence.statement import read_statement
from mu.evidence.verify import checks

SAMPLES = Path(__file__).parents[2] / "docs" / "samples"
KEY = SAMPLES / "key.pub.pem"


@pytest.mark.parametrize(("name", "word"), [("passing", "forgotten"), ("residual", "residual")])
def test_a_sample(name: str, word: str) -> None:
    bundle = Bundle.read(SAMPLES / f"{name}.zip")
    done = list(checks(bundle, keys=[load_public_key(KEY)], recompute=recompute))
    assert [check for check in done if not check.ok] == []
    assert {"recomputed", "signatures", "log"} <= {check.name for check in done}
    assert read_statement(bundle.files[STATEMENT])[1]["verdict"]["word"] == word


def test_a_sample_with_one_byte_changed(tmp_path: Path) -> None:
    bundle = Bundle.read(SAMPLES / "passing.zip")
    bundle.write(tmp_path / "evidence")
    page = tmp_path / "evidence" / "page.html"
    content = bytearray(page.read_bytes())
    content[len(content) // 2] ^= 1
    page.write_bytes(content)
    changed = Bundle.read(tmp_path / "evidence")
    wrong = [check for check in checks(changed, recompute=recompute) if not check.ok]
    assert [check.name for check in wrong] == ["digests"]
    assert "page.html" in wrong[0].detail
