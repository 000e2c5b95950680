"""How deep a network has forgotten: how much of the forgotten is left below its answers.

A small file for each way of asking. Width (UA, MIA) saturates where a class is forgotten: a network
whose one output is switched off answers as one that never saw the class. What is left in its
weights and features tells them apart.
"""
