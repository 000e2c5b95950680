"""The tags of mu's runs, one name for each: how runs are found, compared and traced.

A fingerprint is the first 16 hex digits of a sha256.
"""

from __future__ import annotations

from typing import Final

ENTRY: Final = "mu.entry"  # name of the entry point

# What a run started from, and what it is compared with: IDs of other runs.
UPSTREAM: Final = "mu.upstream"  # the run whose network this one took
ORACLE: Final = "mu.oracle"  # the oracle that this run was compared with
EVALUATION: Final = "mu.evaluation"  # the run that last measured this one
REGISTER: Final = "mu.register"  # the registered model that it is to be a version of
RESUMED_AS: Final = "mu.resumed_as"  # of the launcher's empty run: the run that was resumed

# What two runs have in common if these are the same: fingerprints.
ORIGINAL_KEY: Final = "mu.original_key"  # of an original: data and recipe
ORACLE_KEY: Final = "mu.oracle_key"  # of an oracle: all that it depends on but its seed
UNLEARNING: Final = "mu.cell"  # of an unlearning: original, forget set, method, settings and seed
SWEEP: Final = "mu.sweep"  # of a sweep: all that is planned
TUNE: Final = "mu.tune"  # of a search for settings: all that its trials follow from
DEPTH: Final = "mu.depth"  # of an unlearning: what its depth was measured against, and how
DATA: Final = "mu.data"  # pixels and labels
FORGET: Final = "mu.forget"  # the sample numbers of the forget set
POISON: Final = "mu.poison"  # trigger, target and samples, of a run on poisoned data
SUSPECTS: Final = "mu.suspects"  # of a run that suspects samples: their list
LOG_PLACE: Final = "mu.log_place"  # of an erasure: its place in the log of evidence, from 0
# Of an erasure, and of the run whose network it measured: whether that may be used.
GATE: Final = "mu.gate"
EVIDENCE: Final = "mu.evidence"  # of a run or a registered version: the erasure that measured it
RETIRED: Final = "mu.retired"  # the erasure since which the run's network is not to be used
IMPORTED: Final = "mu.imported"  # the file that an original was imported from

# Names of the warnings about its result, with commas between them, or none.
WARNINGS: Final = "mu.warnings"
VERDICT: Final = "mu.verdict"  # what an unlearning came to, in a word

# Of a search for settings.
TRIAL: Final = "mu.trial"  # of its trials: by what they are judged, criterion or gap
TARGET: Final = "mu.target"  # criterion, or which oracle its settings come from: an upper bound

# Fingerprints of the network's files; a run without SPEC holds no network.
WEIGHTS: Final = "mu.weights"
MASK: Final = "mu.mask"
SPEC: Final = "mu.spec"

# By which program the run was made, where, and how that ended.
COMMIT: Final = "mu.commit"
DIRTY: Final = "mu.dirty"  # true or false: whether the working tree had uncommitted changes
HOST: Final = "mu.host"
PROCESSOR: Final = "mu.processor"  # the kind that computed; another one rounds otherwise
PRECISION: Final = "mu.precision"  # fp32 or bf16, in which the work began
PID: Final = "mu.pid"
PROCESS_START: Final = "mu.process_start"  # seconds since 1970: process numbers are used again
PROCESS: Final = "mu.process"  # machine and a random number: whose run it is, while it is RUNNING
HEARTBEAT: Final = "mu.heartbeat"  # when that process was last known to live: seconds since 1970
ERROR: Final = "mu.error"  # why the run failed
RESUMED: Final = "mu.resumed"  # how often the run was resumed

FINGERPRINT_DIGITS: Final = 16


def fingerprint_tag(digest: str) -> str:
    """A sha256 (hex) as tags show it."""
    return digest[:FINGERPRINT_DIGITS]
