"""Small pictures in a page, as data URIs."""

from __future__ import annotations

import base64
import io
import re

from PIL import Image

from mu.report.run_page.facts import Pixels

_CARD = re.compile(rb'<li id="[fr]-(\d{1,18})"')  # as page.html has them
SIDE = 48  # pixels, at the most: of noise, which no PNG makes smaller, 9 kB


def data_uri(pixels: Pixels) -> str:
    """A PNG of an image, made smaller where it is larger than :data:`SIDE`."""
    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    image.save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def shown_samples(page: bytes) -> set[int]:
    """Sample numbers of the records that a finished page shows."""
    return {int(number) for number in _CARD.findall(page)}
