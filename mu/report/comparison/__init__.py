"""Runs compared: the paper's table, its figures, and what they say in words.

Nothing here knows where runs are kept: :class:`~mu.run_record.RunRecord` holds what
is known of one, and :func:`~mu.report.comparison.table.tabulate` makes tables of many.
"""
