"""Fingerprints by which a run is found again: of what an oracle and an unlearning depend on."""

from __future__ import annotations

import hashlib

from mu.checkpoints import Spec
from mu.digests import digest_of
from mu.methods.base import Method
from mu.tags import fingerprint_tag


def oracle_key(spec: Spec, retain: str, mask: str, mask_from: str) -> str:
    """Fingerprint of everything that an oracle depends on, but its seed.

    ``retain`` and ``mask``: sha256 (hex) of the retained sample numbers and of the original's mask.
    ``mask_from``: see :class:`mu.methods.retrain.Retrain`.
    """
    parts = [
        spec.data.fingerprint,
        repr((spec.data.mean, spec.data.std)),
        spec.recipe.fingerprint,
        retain,
        mask if mask_from == "upstream" else "",
        mask_from,
    ]
    if mask_from == "upstream" and spec.recipe.keeps_trained:
        parts.append("every stage")  # earlier versions trained one of them
    if spec.data.poison is not None:  # of clean data, keys are as they were without poisoning
        parts.append(spec.data.poison.fingerprint)
    return hashlib.sha256("/".join(parts).encode()).hexdigest()[:16]


def unlearning_key(network: tuple[str, str], forget: str, method: Method, seed: int) -> str:
    """Fingerprint of one unlearning: the same one gives the same result.

    ``network``: fingerprints of the original's weights and mask, as tags have them. ``forget``:
    sha256 (hex) of the forget set's sample numbers.
    """
    parts = [network, forget, method.name, method.identity(), seed]
    return fingerprint_tag(digest_of(parts))
