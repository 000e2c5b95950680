"""Programs that print the figures of the documentation; each says how to start it."""

from mu import environment

environment.prepare()  # before torch is loaded
