"""The game of attacks with reference networks: who trains on what, and what is under attack.

Of the challenge, which is the forget set and as many test images, each reference trains on a
random half beside the retain set. So for each sample some networks saw it and others did not, and
a method can be watched unlearning it. References come in pairs: what one saw, its partner did not,
so each sample was seen by exactly half of them. The same is done with a drawn part of the retain
set, apart from the rest: what a method makes of samples that it was to keep is then seen, too.

References
----------
Carlini et al. (2022), Membership Inference Attacks From First Principles, S&P, section V. Carlini,
Jagielski, Zhang, Papernot, Terzis & Tramèr (2022), The Privacy Onion Effect, NeurIPS: to remove
some samples may expose others.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch

from mu.checkpoints import DataSpec, Spec
from mu.data.forget_split import ForgetSplit
from mu.data.images import ImageDataset, Images, Indices, Subset
from mu.data.splits import SplitSpec
from mu.errors import UserError
from mu.evaluation.attacks.likelihood import Seen
from mu.evaluation.outputs import MOST_LOGITS
from mu.hyperparameters import LARGEST_SEED

# Of either kind. With fewer, the interval of the AUC would span nearly all there is.
FEWEST = 10
MOST_POPULATION = 10_000  # that RMIA compares with; its scores are then exact to 0.01 %
# Of the retain set, at most so much is attacked by default: each reference goes without half of it.
RETAINED_SHARE = 0.1
_PURPOSES = {"attacked": 5, "retained": 8}  # of what is drawn, in seeds


def default_retained(split: ForgetSplit) -> int:
    """How many retained samples are attacked by default: as many as are forgotten, or a tenth."""
    return min(len(split.forget), int(RETAINED_SHARE * len(split.retain)))


@dataclass(frozen=True, eq=False)
class Challenge:
    """The samples under attack, and what everyone else of the game trains on; sample numbers."""

    # The original's, whose test images follow its training images: sample numbers of training
    # images are the published ones, and test image t has the number ``n_training + t``.
    dataset: ImageDataset
    retain: Indices  # all references train on these
    val: Indices  # and none on these
    members: Indices  # under attack: the forget set
    non_members: Indices  # under attack: test images
    population: Indices  # nobody trained on them, and they are not under attack
    seed: int  # of everything that is drawn
    retained: Indices = field(default_factory=lambda: np.array([], np.int64))  # attacked, too

    @classmethod
    def of(cls, split: ForgetSplit, seed: int, retained: int = 0) -> Challenge:
        """The challenge of a forget split.

        Test images are drawn class by class, as many as the forget set has of the class; where
        there are fewer, all of them are taken, and no other class makes up for it. The population
        is the validation part and the test images that were not drawn; at most 10,000 of them.
        ``retained``: how many samples of the retain set are attacked, too. UserError if there are
        fewer than 10 members, or than 10 test images of their classes, or no more retained samples
        than are to be attacked; or so many samples that their logits, all of which every reference
        keeps, are too many.
        """
        data, draws = split.dataset, np.random.default_rng([seed, 4])
        labels, first = data.test.labels.numpy(), len(data.train)
        order = draws.permutation(len(labels))
        wanted = data.train.labels.numpy()[split.forget]
        classes, counts = np.unique(wanted, return_counts=True)
        drawn = [
            order[labels[order] == one][:count] for one, count in zip(classes, counts, strict=True)
        ]
        chosen = np.sort(np.concatenate(drawn))
        for count, kind in ((len(wanted), "forgotten samples"), (len(chosen), "test images")):
            if count < FEWEST:
                raise UserError(
                    f"the attack needs at least {FEWEST} {kind} (of the forgotten classes); there "
                    f"are {count}; take a run that forgets more"
                )
        rest = np.concatenate([split.val, first + np.setdiff1d(np.arange(len(labels)), chosen)])
        if not len(rest):
            raise UserError(
                "the attack needs images beside those under attack that nobody trained on; take "
                "an original with a validation part, or a run that forgets fewer"
            )
        population = np.sort(draws.permutation(rest)[:MOST_POPULATION])
        samples = max(len(wanted) + len(chosen), len(population))
        if max(samples, retained) * len(data.classes) > MOST_LOGITS:
            raise UserError(
                f"lira keeps the logits of all samples that it looks at, and {samples:,} samples "
                f"x {len(data.classes):,} classes are too many; take a run that forgets fewer"
            )
        if retained >= len(split.retain):
            raise UserError(
                f"retain_sample={retained}: the retain set has {len(split.retain)} samples, and "
                "references need some that all of them train on; give fewer"
            )
        order = np.random.default_rng([seed, 7]).permutation(split.retain)
        return cls(
            _with_test_images(data), np.sort(order[retained:]), split.val, split.forget,
            first + chosen, population, seed, np.sort(order[:retained]),
        )  # fmt: skip

    @cached_property
    def samples(self) -> Indices:
        """Sample numbers under attack, members first."""
        return np.concatenate([self.members, self.non_members])

    @property
    def targets(self) -> dict[str, Indices]:
        """Sample numbers under attack: ``attacked``, and ``retained`` where there are any."""
        found = {"attacked": self.samples, "retained": self.retained}
        return {part: numbers for part, numbers in found.items() if len(numbers)}

    def parts(self) -> dict[str, Subset]:
        """What is passed through every network: the targets, and ``bystanders``, the population."""
        numbers = {**self.targets, "bystanders": self.population}
        return {part: self.dataset.training_subset(one) for part, one in numbers.items()}

    def seen(self, number: int) -> dict[str, Seen]:
        """Which samples of each target reference ``number`` trains on, each bool (n_samples,)."""
        found = {}
        for part, numbers in self.targets.items():
            draws = np.random.default_rng([self.seed, _PURPOSES[part], number // 2])
            half = draws.permutation(len(numbers)) < len(numbers) // 2
            found[part] = half ^ bool(number % 2)
        return found

    def seed_of(self, number: int) -> int:
        """The seed of everything that reference ``number`` does."""
        draws = np.random.default_rng([self.seed, 6, number])
        return int(draws.integers(LARGEST_SEED, endpoint=True))

    def split_of(self, number: int) -> ForgetSplit:
        """What reference ``number`` trains on: its share of the challenge is its forget set."""
        seen = self.seen(number)
        share = {part: numbers[seen[part]] for part, numbers in self.targets.items()}
        retain = np.union1d(self.retain, share.get("retained", self.retained))
        return ForgetSplit(self.dataset, np.sort(share["attacked"]), retain, self.val)

    def spec_of(self, original: Spec, number: int) -> Spec:
        """The spec of reference ``number``: the original's recipe from other initial weights.

        It holds all but what the reference trains on to be removed, so that whoever asks it for
        the training set is told right.
        """
        split = self.split_of(number)
        trained = np.concatenate([split.forget, split.retain])
        others = np.setdiff1d(np.arange(len(self.dataset.train)), trained)
        recipe = replace(
            original.recipe,
            seed=self.seed_of(number),
            split=SplitSpec(original.recipe.split.split_seed, val_share=0.0),
            trained_on=None,
        )
        return Spec(
            DataSpec.of(self.dataset), recipe, tuple(int(one) for one in others), original.history
        )


def _with_test_images(data: ImageDataset) -> ImageDataset:
    """The data set with its test images after its training images."""
    if not isinstance(data.train, Images) or not isinstance(data.test, Images):
        raise UserError(
            f"lira needs images in memory, and those of {data.name} are streamed; use a smaller "
            "image_size"
        )
    pixels = torch.cat([data.train.pixels, data.test.pixels])
    labels = torch.cat([data.train.labels, data.test.labels])
    return replace(data, train=Images(pixels, labels))
