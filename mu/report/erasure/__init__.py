"""What people read of an erasure: a page for the data protection officer, a letter for the person.

Both come from the statement's predicate and the list of records alone: neither torch nor a store is
needed to make them again.
"""

from mu.report.erasure.officer import page
from mu.report.erasure.person import letter
from mu.report.erasure.words import STANDING_LIMITS

__all__ = ["STANDING_LIMITS", "letter", "page"]
