"""Sweeps: a grid becomes a plan of tasks, which an engine performs, each in a run of its own.

``grid`` reads the file, ``checks`` makes a ``plan`` of it, ``find`` says what is finished already,
``estimate`` how long the rest will take, ``schedule`` has an engine (``engines``) ``perform`` it,
``report`` shows how far it is and what came of it, and ``run`` is the entry.
"""
