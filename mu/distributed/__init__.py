"""Many processes that do one piece of work: torch's elastic launcher starts them, mu runs in each.

Every process, a rank, runs the whole program on the same arguments. What is computed on many
samples is shared out (:class:`mu.distributed.ranks.Ranks`): gradients are averaged by torch's
DistributedDataParallel, outputs are gathered, so that all ranks hold the same results and decide
alike. Rank 0 alone tracks, keeps progress and prints.

``devices=N`` has the program start itself N times (:mod:`mu.distributed.launch`); ``torchrun``
does the same from outside, over several machines too.

DistributedDataParallel it is, and not Lightning Fabric or Accelerate, which wrap it: mu has its own
loop, masks and checkpoints, so the averaging, which overlaps with the backward pass, is all that it
needs.
"""
