"""What a useless method would do: nothing, or hide one output. Every result is seen next to these.

Forgetting a class, UA and MIA are at 100 as soon as the class is never predicted, though nothing
was unlearned: setting its output aside is enough, and five of its images bring it back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # who asks for the names alone does not wait for torch
    from mu.evaluation.outputs import Outputs, SplitOutputs

NOTHING, LOGIT_MASK = "nothing", "logit_mask"
CONTROLS = (NOTHING, LOGIT_MASK)
MASKED = -1e4  # a logit whose probability is 0 in any precision, and that is still a number


def logit_masked(outputs: SplitOutputs, classes: Sequence[int]) -> SplitOutputs | None:
    """The same outputs without these classes: their logits are :data:`MASKED`.

    None where a part is too large to keep its logits, or no class is masked.
    """
    import torch

    if not classes or not outputs.has_logits:
        return None

    def masked(part: Outputs) -> Outputs:
        columns = torch.tensor(list(classes))
        return part.changed(lambda logits: logits.index_fill(1, columns, MASKED), part.labels)

    parts = {name: masked(part) for name, part in outputs.parts().items()}
    return type(outputs)(
        parts["forget"], parts["retain"], parts["test"], parts.get("test_forgotten")
    )
