"""Damaged and malicious files, through the real readers of mu.

    python -m benchmarks.fuzz --count 20000        (minutes)

``targets`` has the readers and whole files for them, ``mutations`` what is done to the files, and
``__main__`` counts what came of it. Files that once failed are kept in tests/fuzz.
"""
