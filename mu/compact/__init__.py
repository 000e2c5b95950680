"""Exact compaction: a smaller network with the same logits, by removing what the mask has killed.

A channel (or feature) goes if nothing reads it, or if it is constant, as behind a filter without
weights: its constant, taken through normalisation, bias and activation, is then added to what reads
it. At a convolution with zero padding, a constant other than zero counts for less at the borders;
there all such channels become one, the largest, whose weights are their weighted sums. A branch of
a residual sum only has to hold what it adds: the rest of the sum passes it by, and what is constant
in it is added as a vector. So no channel must be dead in all branches to be removed from one.

Why own rules over torch.fx, and not Torch-Pruning's dependency graph (measured with 1.6.1, at
torch 2.14): that graph says which slices belong together, but knows no constants, which are most
of the work here, and couples all branches of a residual sum. It fails at fastnet's normalisation
without weights, and at the first layers of vit_tiny and swin_t. It is 5,600 lines; the rules here
are 650, and whatever they do not know stays as it is.
"""

FORMATS = ("torch", "safetensors", "onnx")  # of the files that hold the network
FP32, BF16, INT8 = PRECISIONS = ("fp32", "bf16", "int8")  # in which the file computes
OPSET = 18  # of ONNX: the oldest that torch writes without converting, and the default
