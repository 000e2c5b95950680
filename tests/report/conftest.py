"""Here pictures are the subject."""

from collections.abc import Iterator

import pytest
from matplotlib.figure import Figure


@pytest.fixture(scope="module", autouse=True)
def _painted(unpainted: None) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", Figure.painted)
        yield
