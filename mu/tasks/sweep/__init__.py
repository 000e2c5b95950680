"""Sweeps: a grid becomes a plan of tasks, which an engine performs, each in a run of its own.

``grid`` reads the file, ``plan`` checks it and says what is to be made, ``find`` what of it is
finished already, ``schedule`` has an engine (``engines``) ``perform`` the rest, ``report`` shows
how far it is and what came of it, and ``run`` is the entry.
"""
