"""Programs that print the figures of the documentation; each says how to start it."""

import entrypoints  # noqa: F401  # sets what entry points set before torch is loaded
