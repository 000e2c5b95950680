"""How numbers are rounded before they are logged or stated."""

from __future__ import annotations


def rounded(value: float) -> float:
    """Three digits after the point, and four significant ones below 1: what a table can show."""
    value = float(value)
    return round(value, 3) if abs(value) >= 1 else float(f"{value:.4g}")
