"""Second-order information of a network: gradients by sample, the Fisher information, its inverse.

All of it is of the free weights: those that a mask does not prune.
"""

LABELS = ("exact", "signs", "drawn")  # whose gradients the Fisher information is made of
