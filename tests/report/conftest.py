"""Here pictures are the subject."""

from collections.abc import Iterator

import pytest

from tests.soon import paint_as_it_is


@pytest.fixture(scope="module", autouse=True)
def _painted(unpainted: None) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        paint_as_it_is(patch.setattr)
        yield
