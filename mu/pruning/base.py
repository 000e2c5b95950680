"""What a pruner is, and which weights can be pruned."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from mu.errors import UserError
from mu.hyperparameters import changed, setting
from mu.registry import Registered

if TYPE_CHECKING:
    import torch
    from torch import nn

    from mu.data.images import Subset
    from mu.masks import Mask
    from mu.runs import Run

SCOPES = ("body", "head", "all")


class PruningContext(NamedTuple):
    """What a pruner may use in addition to the network."""

    data: Subset  # training samples
    run: Run  # device and precision
    draws: torch.Generator  # seeded, on the CPU, for pruners that draw


@dataclass(frozen=True)
class Pruner(Registered, ABC):
    """A way of choosing the weights to keep; its fields are its settings.

    A pruner overrides the defaults of those below where its paper has others.
    """

    # What the mask depends on: ``weights``, training ``data`` too, or ``nothing`` but the seed.
    looks_at: ClassVar[str] = "weights"

    rate: float = setting(
        0.95,
        help="share of the remaining weights that each round prunes; 0 gives the dense original",
        low=0.0,
        below=1.0,
    )
    rounds: int = setting(1, help="rounds of pruning and training again", low=1, high=1000)
    when: str = setting(
        "trained",
        help="weights that are looked at: initial (prune, then train once) or trained (train, "
        "prune, train again)",
        choices=("initial", "trained"),
    )
    scope: str = setting(
        "body",
        help="prunable weights: body (convolutions, linear layers, attention), head (the layer "
        "that gives the logits too) or all (normalisation and biases too)",
        choices=SCOPES,
    )
    on_collapse: str = setting(
        "warn", help="where a layer would lose its last weight", choices=("warn", "refuse")
    )

    def keeps(self, total: int, after_round: int) -> int:
        """How many of ``total`` prunable weights are left after so many rounds.

        Counted from the whole, so that the roundings of several rounds do not add up.
        """
        return total - round(total * (1 - (1 - self.rate) ** after_round))

    def prune(
        self,
        model: nn.Module,
        mask: Mask,
        data: Subset,
        run: Run,
        *,
        keep: int | None = None,
        seed: int | None = None,
    ) -> Mask:
        """A mask that keeps ``keep`` of the weights that ``mask`` keeps, and nothing else.

        UserError if a layer loses its last weight and ``on_collapse`` is ``refuse``.

        Parameters
        ----------
        model
            The network to look at; it is not changed.
        mask
            What earlier rounds kept.
        data
            Training samples, for pruners that look at gradients.
        keep
            By default a share ``1 - rate`` of what ``mask`` keeps.
        seed
            Of what the pruner draws, by default the run's.
        """
        from mu.runs import generator

        mask.check(model)
        if keep is None:
            keep = mask.kept - round(self.rate * mask.kept)
        if not 0 <= keep <= mask.kept:
            raise ValueError(f"cannot keep {keep} of {mask.kept} weights")
        if keep == mask.kept:
            return mask
        seed = run.seed if seed is None else seed
        draws = generator(seed, f"pruner {type(self).__name__}")
        found = self.choose(model, mask, keep, PruningContext(data, run, draws))
        if names := emptied(mask, found, self.scope):
            text = f"pruning to {found.sparsity:.2f} % leaves no weight in {names}"
            if self.on_collapse == "refuse":
                raise UserError(f"{text}; lower rate, or allow it with on_collapse=warn")
            run.note(f"{text}; a lower rate would keep some")
        return found

    @abstractmethod
    def choose(self, model: nn.Module, mask: Mask, keep: int, context: PruningContext) -> Mask:
        """The mask; see :meth:`prune`. ``keep`` is below ``mask.kept``."""


@dataclass(frozen=True)
class ProbingPruner(Pruner, ABC):
    """A pruner that differentiates the loss on training samples, by default before training."""

    looks_at = "data"

    when: str = changed(Pruner, "when", "initial")
    samples: int = setting(256, help="training samples to look at, evenly over the classes", low=1)


def emptied(before: Mask, after: Mask, scope: str) -> str:
    """The layers that lost their last weight, in words; empty where there are none.

    A layer without weights passes nothing on; only a shortcut beside it can. Biases and scales,
    prunable in the scope ``all``, are no such layers.
    """
    empty = [
        new["name"]
        for old, new in zip(before.layers(), after.layers(), strict=True)
        if old["kept"] and not new["kept"] and not (scope == "all" and len(new["shape"]) < 2)
    ]
    return ", ".join(empty[:5]) + (f" and {len(empty) - 5} more" if len(empty) > 5 else "")


def prunable(model: nn.Module, scope: str, head: str | None) -> list[str]:
    """Names of the prunable parameters, each once, also where several layers share it.

    Weights that are fixed, as those of :class:`mu.models.whitening.Whitening`, are buffers, and so
    no candidates in any scope.

    Parameters
    ----------
    scope
        ``body``: weights of convolutions, linear layers and attention projections, but not of
        the classifier head. ``head``: that too. ``all``: every parameter, normalisation and
        biases among them.
    head
        Name of the layer whose output is the logits, if any: :func:`mu.models.head.head_name`.
    """
    from torch import nn

    if scope == "all":
        return [name for name, _ in model.named_parameters()]
    layers = (nn.modules.conv._ConvNd, nn.Linear, nn.MultiheadAttention)
    left = () if scope == "head" or head is None else model.get_submodule(head).parameters()
    spared = {*map(id, left)}
    chosen = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, layers)
        for own, parameter in module.named_parameters(recurse=False)
        if parameter.ndim > 1 and not own.startswith("bias")  # attention has bias_k, bias_v
    }
    # Of a weight that several layers share, the name that a mask can be bound to.
    return [name for name, one in model.named_parameters() if id(one) in chosen - spared]
