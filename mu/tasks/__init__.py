"""Tasks: what an entry does inside a tracked run.

A file for each entry, named like it, with one function of that name that takes a
:class:`~mu.cli.requests.Request`; beside them what they share: ``problem`` (the types), ``base``
(a run from its opening to its end), ``resolve`` (from run IDs to models, data and oracles),
``resume`` (interrupted runs), ``outputs`` (what runs keep and print) and ``perform`` (one
unlearning with its oracle).
"""
