"""Membership attacks, a small file each: they tell from outputs what a network was trained on.

All scores are higher the more a sample looks like a member; :mod:`mu.evaluation.attacks.rates`
says how well a score tells the two apart.
"""
