"""Work of many processes: each a copy of the network, on samples of its own.

The process that the user starts keeps all that there is one of: the command line, MLflow, files.
What is computed on many samples (a verb marked :func:`everywhere`) it hands to a team of processes,
the ranks, which all run the same code on the same arguments: gradients are averaged by torch's
DistributedDataParallel, outputs are gathered. The first rank's numbers, progress and result come
back. So nothing else in mu knows how many there are; and since the process that watches never
waits for a rank, a rank that dies ends the run, and does not hang it.

DistributedDataParallel it is, and not Lightning Fabric or Accelerate, which wrap it: mu has its own
loop, masks and checkpoints, so all that it needs is the averaging, which overlaps with the backward
pass, and the processes, which torch starts, too.
"""

from mu.distributed.everywhere import everywhere
from mu.distributed.ranks import ALONE, Ranks

__all__ = ["ALONE", "Ranks", "everywhere"]
