"""Small pictures in a page, as data URIs."""

from __future__ import annotations

import base64
import io

from PIL import Image

from mu.report.run_page.facts import Pixels

SIDE = 48  # pixels, at the most: of noise, which no PNG makes smaller, 9 kB


def data_uri(pixels: Pixels) -> str:
    """A PNG of an image, made smaller where it is larger than :data:`SIDE`."""
    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    image.save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
