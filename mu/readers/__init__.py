"""Readers of files that may hold anything: plain values come out of them, or one error.

There is one for each format. Whatever the bytes are, it gives what they hold or raises a
:class:`ValueError` that says why not, and never takes more memory than the bytes account for.
Callers add which file it is, and what helps.
"""
