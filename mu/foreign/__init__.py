"""Originals that other programs trained: their files read, fitted to a network, and checked."""

VAL_SHARE = 0.0  # of an import: nothing in a file says which images were held out
# Without mask entries, weights that are exactly zero count as pruned from this share of the
# prunable ones on: training hardly ever leaves one at exactly zero, and pruning for less is rare.
ENOUGH_ZEROS = 0.01
