"""Detection: which training samples are poisoned, where nobody says so; a small file for each way.

What the files need to run, with torch, is in :mod:`mu.detection.activations`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mu.registry import Registry

if TYPE_CHECKING:
    from mu.detection.base import Detector

DEFAULT_DETECTOR = "spectral"
DETECTORS: Registry[Detector] = Registry("detector", __name__)
PREFIX = "suspects_"  # of a detector's settings, where they stand beside others

check_detector = DETECTORS.check
detector_class = DETECTORS.find
make_detector = DETECTORS.make
