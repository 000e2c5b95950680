"""The game of reference networks: who trains on what, and what the attacks find of a leak."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mu.checkpoints import Checkpoint, DataSpec, Spec
from mu.data import load_data
from mu.data.forget_split import ForgetSplit
from mu.data.images import ImageDataset, Images
from mu.data.splits import SplitSpec
from mu.evaluation import challenge as challenge_module
from mu.evaluation.attacks.rates import rates
from mu.evaluation.challenge import FEWEST, Challenge, default_retained
from mu.evaluation.memorisation import most_memorised
from mu.evaluation.outputs import Outputs
from mu.evaluation.records import Records, mean_memorisations, records_of
from mu.evaluation.references import (
    Kept,
    Reference,
    View,
    attack,
    attack_all,
    make_reference,
    save_models,
    view_arrays,
    view_of,
)
from mu.methods import make_method
from mu.originals.rounds import train_network
from mu.originals.train import train_original
from mu.runs import Run
from mu.training import Training
from tests.helpers import laws, make_checkpoint, make_dataset, make_recipe, refused


def challenge_of(
    dataset: ImageDataset, forget: Any, seed: int = 0, val: Any = (), retained: int = 0
) -> tuple[Challenge, ForgetSplit]:
    """The challenge of forgetting these samples of the whole training set but ``val``."""
    everything = np.arange(len(dataset.train))
    out = np.concatenate([np.asarray(forget, np.int64), np.asarray(val, np.int64)])
    split = ForgetSplit(
        dataset, np.sort(np.asarray(forget)), np.setdiff1d(everything, out), np.asarray(val, int)
    )
    return Challenge.of(split, seed, retained), split


# --- the challenge ------------------------------------------------------------------------


@laws()
@given(st.integers(0, 2**32 - 1), st.integers(10, 40), st.integers(0, 9))
def test_as_many_test_images_of_each_class_as_are_forgotten(seed, size, held):
    data = make_dataset(train=70, test=120)
    chosen = np.random.default_rng(seed).permutation(70)
    game, split = challenge_of(data, chosen[:size], seed, chosen[size : size + held])
    labels = game.dataset.train.labels.numpy()
    assert np.array_equal(
        np.bincount(labels[game.members], minlength=3),
        np.bincount(labels[game.non_members], minlength=3),
    )
    assert np.array_equal(game.members, split.forget)
    # Nobody is in two parts, and all of validation and test is in one.
    parts = (game.members, game.non_members, game.population, game.retain)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(190))
    assert (game.non_members >= 70).all()
    assert set(split.val) <= set(game.population)


def test_numbers_are_the_published_ones_and_test_images_follow():
    data = make_dataset(train=60, test=40)
    game, _ = challenge_of(data, np.arange(12))
    pixels = game.dataset.train.pixels
    assert torch.equal(pixels[:60], data.train.pixels)
    assert torch.equal(pixels[60:], data.test.pixels)
    assert torch.equal(game.dataset.train.labels[60:], data.test.labels)
    assert game.dataset.mean == data.mean
    test_labels = data.test.labels[game.non_members - 60]
    assert torch.equal(
        game.parts()["attacked"].labels, torch.cat([data.train.labels[:12], test_labels])
    )


def test_where_a_class_has_fewer_test_images_all_are_taken_and_none_of_another():
    labels = [0] * 30 + [1] * 30
    data = make_dataset(labels, test=40)
    test_labels = torch.tensor([0] * 12 + [1] * 28)
    data = replace(data, test=Images(data.test.pixels, test_labels))
    game, _ = challenge_of(data, [*range(20), *range(30, 35)])
    found = game.dataset.train.labels.numpy()[game.non_members]
    assert np.bincount(found).tolist() == [12, 5]
    assert len(game.members) == 25


def test_the_seed_draws_the_test_images_and_the_halves():
    data = make_dataset(train=60, test=100)
    one, same, other = (challenge_of(data, np.arange(20), seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(one.non_members, same.non_members)
    assert not np.array_equal(one.non_members, other.non_members)
    assert np.array_equal(one.seen(3)["attacked"], same.seen(3)["attacked"])
    assert not np.array_equal(one.seen(3)["attacked"], other.seen(3)["attacked"])
    seeds = [game.seed_of(number) for game in (one, other) for number in range(20)]
    assert len(set(seeds)) == 40


def test_the_population_is_drawn_where_it_is_large(monkeypatch):
    monkeypatch.setattr(challenge_module, "MOST_POPULATION", 15)
    game, _ = challenge_of(make_dataset(train=60, test=100), np.arange(20))
    assert len(game.population) == 15
    assert not np.intersect1d(game.population, game.samples).size
    assert len(np.unique(game.population)) == 15


def test_too_little_to_attack_is_refused():
    data = make_dataset(train=60, test=40)
    with refused(f"at least {FEWEST} forgotten samples", "there are 1;", "forgets more"):
        challenge_of(data, [5])
    with refused("there are 9"):
        challenge_of(data, range(FEWEST - 1))
    challenge_of(data, range(FEWEST))
    few = make_dataset(train=60, test=9)
    with refused(f"at least {FEWEST} test images", "there are 9"):
        challenge_of(few, range(12))
    whole = make_dataset(train=60, test=12)
    with refused("that nobody trained on"):
        challenge_of(whole, range(15))
    challenge_of(whole, range(15), val=[20])


@laws()
@given(st.integers(10, 31), st.integers(0, 2**32 - 1))
def test_partners_saw_the_two_halves(size, seed):
    game, split = challenge_of(make_dataset(train=60, test=100), range(size), seed)
    seen = np.stack([game.seen(number)["attacked"] for number in range(8)])
    assert (seen.sum(0) == 4).all()
    assert (seen.sum(1) == size).all()
    assert np.array_equal(seen[::2], ~seen[1::2])
    assert len(np.unique(seen, axis=0)) == 8
    for number in range(3):
        part = game.split_of(number)
        assert np.array_equal(part.forget, np.sort(game.samples[seen[number]]))
        assert np.array_equal(part.retain, split.retain)


@laws()
@given(st.integers(10, 31), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_retained_samples_are_left_out_by_half_of_the_references_and_never_forgotten(
    size, retained, seed
):
    data = make_dataset(train=60, test=100)
    game, split = challenge_of(data, range(size), seed, retained=retained)
    plain, _ = challenge_of(data, range(size), seed)
    assert np.array_equal(np.union1d(game.retain, game.retained), split.retain)
    assert len(game.retained) == retained
    assert len(game.retain) == len(split.retain) - retained
    seen = np.stack([game.seen(number)["retained"] for number in range(6)])
    assert (seen.sum(0) == 3).all()
    assert np.array_equal(seen[::2], ~seen[1::2])
    for number in range(6):
        assert np.array_equal(game.seen(number)["attacked"], plain.seen(number)["attacked"])
        part, without = game.split_of(number), plain.split_of(number)
        assert np.array_equal(part.forget, without.forget)
        left_out = np.setdiff1d(without.retain, part.retain)
        assert np.array_equal(left_out, np.sort(game.retained[~seen[number]]))
        assert not len(np.setdiff1d(part.retain, without.retain))


def test_how_many_retained_samples_are_attacked():
    data = make_dataset(train=60, test=40)
    _, split = challenge_of(data, range(10))
    assert default_retained(split) == 5  # a tenth of 50
    _, many = challenge_of(make_dataset(train=300, test=40), range(10))
    assert default_retained(many) == 10  # as many as are forgotten
    challenge_of(data, range(10), retained=49)
    with refused("retain_sample=50", "has 50 samples", "fewer"):
        challenge_of(data, range(10), retained=50)


def test_a_spec_says_what_its_reference_trained_on():
    data = make_dataset(train=60, test=40)
    game, _ = challenge_of(data, np.arange(12), val=np.arange(50, 56), retained=8)
    original = make_checkpoint(data).spec
    for number in (0, 1):
        spec, part = game.spec_of(original, number), game.split_of(number)
        trained = spec.split(game.dataset)
        assert np.array_equal(trained.train, np.sort(np.concatenate([part.retain, part.forget])))
        assert not len(trained.val)
        spec.data.check(game.dataset)
        assert spec.recipe.seed == game.seed_of(number) != original.recipe.seed
        assert spec.recipe.training == original.recipe.training


# --- a reference --------------------------------------------------------------------------


@cache
def small() -> tuple[Checkpoint, Challenge]:
    data = make_dataset(train=60, test=40)
    game, _ = challenge_of(data, np.arange(12), val=np.arange(50, 56), retained=8)
    return make_checkpoint(data), game


def make(number: int, forget: Any = None, train: Any = train_network) -> Reference:
    original, game = small()
    return make_reference(original, game, number, Run(seed=game.seed_of(number)), train, forget)


def test_a_reference_trains_on_its_half_under_the_mask_from_weights_of_its_own():
    original, game = small()
    calls: list[Any] = []

    def watched(recipe: Any, data: Any, run: Any, *, mask: Any) -> Any:
        calls.append((recipe, data, mask))
        return train_network(recipe, data, run, mask=mask)

    before = {name: one.clone() for name, one in original.model.state_dict().items()}
    make(0, train=watched)
    (recipe, data, mask) = calls[0]
    part = game.split_of(0)
    assert np.array_equal(data.indices, np.sort(np.concatenate([part.retain, part.forget])))
    assert mask is original.mask
    assert recipe.seed == game.seed_of(0)
    assert recipe.training == original.spec.recipe.training
    assert all(torch.equal(one, before[name]) for name, one in original.model.state_dict().items())


def test_the_method_gets_the_reference_and_its_half():
    asked = []

    def forget(checkpoint: Checkpoint, split: ForgetSplit, run: Run) -> None:
        trained = checkpoint.spec.split(split.dataset).train
        asked.append((split.forget, trained, run.seed, checkpoint.mask))
        with torch.no_grad():
            for one in checkpoint.model.parameters():
                one.zero_()

    original, game = small()
    found = make(1, forget)
    ((numbers, trained, seed, mask),) = asked
    assert np.array_equal(numbers, game.split_of(1).forget)
    assert np.array_equal(np.setdiff1d(trained, numbers), game.split_of(1).retain)
    assert seed == game.seed_of(1)
    assert mask == original.mask
    assert found.unlearned is not None
    assert not found.unlearned["attacked"].logits.any()
    assert found.trained["attacked"].logits.any()
    assert torch.equal(found.trained["attacked"].logits, make(1).trained["attacked"].logits)


def test_a_run_with_another_seed_is_refused():
    original, game = small()
    with pytest.raises(ValueError, match="works with seed"):
        make_reference(original, game, 0, Run(seed=1), train_network)


def nothing(*_: object) -> None:
    """Forgets nothing."""


def same(one: View | None, other: View | None) -> bool:
    assert one is not None
    assert other is not None
    assert set(one) == set(other) == {"attacked", "bystanders", "retained"}
    return all(torch.equal(one[part].logits, other[part].logits) for part in one)


def test_a_kept_reference_is_the_same():
    _, game = small()
    made = make(1, nothing)
    found = Reference.from_bytes(made.to_bytes(), game, 1, unlearned=True)
    assert {*found.seen} == {*made.seen}
    assert all(np.array_equal(found.seen[part], made.seen[part]) for part in made.seen)
    assert same(found.trained, made.trained)
    assert same(found.unlearned, made.unlearned)
    assert torch.equal(found.trained["bystanders"].labels, made.trained["bystanders"].labels)
    assert Reference.from_bytes(make(1).to_bytes(), game, 1, unlearned=False).unlearned is None


def test_ulira_asks_the_references_that_have_unlearned():
    game, _ = challenge_of(make_dataset(train=60, test=40), range(12))

    def view(seed: int) -> View:
        draws = torch.Generator().manual_seed(seed)
        return {
            part: Outputs(torch.randn(len(one), 4, generator=draws).double(), one.labels)
            for part, one in game.parts().items()
        }

    references = [Reference(game.seen(n), view(n), view(10 + n)) for n in range(4)]
    views = {"original": view(20), "unlearned": view(21)}
    found = attack_all(views, references, 12, 1.0)
    seen = np.stack([one.seen["attacked"] for one in references])
    for kind, asked in (("lira", "trained"), ("ulira", "unlearned")):
        looks = [getattr(one, asked) for one in references]
        expected = attack(views["unlearned"], looks, seen, gamma=1.0)["lira"]
        assert np.array_equal(np.concatenate(found[kind]["unlearned"]), expected)


def packed(arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def test_what_the_kept_references_say_of_training_samples(tmp_path):
    original, game = small()
    made = [make(number) for number in range(4)]
    view = view_of(original.model, game, Run())
    save_models(tmp_path / "references" / "models.npz", game, {"original": view}, 60)
    for number, one in enumerate(made):
        (tmp_path / f"references/{number:03d}.npz").write_bytes(one.to_bytes())

    def read(path: str) -> bytes:
        return (tmp_path / path).read_bytes()

    found = Kept.read(read, 4)
    assert found.samples.tolist() == [*game.members, *game.retained]
    labels = game.dataset.train.labels[found.samples]
    for number, one in enumerate(made):
        logits = torch.cat([one.trained["attacked"].logits[:12], one.trained["retained"].logits])
        assert np.array_equal(found.right[number], (logits.argmax(1) == labels).numpy())
        trained = np.isin(found.samples, np.concatenate(
            [game.split_of(number).forget, game.split_of(number).retain]
        ))  # fmt: skip
        assert np.array_equal(found.seen[number], trained)
    for number in range(4):
        file = tmp_path / f"references/{number:03d}.npz"
        arrays = dict(np.load(file))
        file.write_bytes(packed({**arrays, "seen": arrays["seen"][:5]}))
        with pytest.raises(ValueError, match="shape" if number < 3 else "different samples"):
            Kept.read(read, 4)
    file.write_bytes(packed({name: one for name, one in arrays.items() if name != "seen"}))
    with pytest.raises(ValueError, match=r"damaged.*seen"):
        Kept.read(read, 4)


def test_kept_references_that_do_not_fit_are_refused():
    _, game = small()
    whole = make(1, nothing)
    content = whole.to_bytes()
    with pytest.raises(ValueError, match="other samples"):
        Reference.from_bytes(content, game, 0, unlearned=True)
    with pytest.raises(ValueError, match="damaged"):
        Reference.from_bytes(make(1).to_bytes(), game, 1, unlearned=True)
    for part in (b"", b"no file", content[:-30], content[: len(content) // 2]):
        with pytest.raises(ValueError):  # noqa: PT011 - of numpy's own, where it is no npz at all
            Reference.from_bytes(part, game, 1, unlearned=True)
    for place in range(0, len(content), 7):  # a turned bit is found out, or in nothing that counts
        turned = bytearray(content)
        turned[place] ^= 1 << place % 8
        try:
            found = Reference.from_bytes(bytes(turned), game, 1, unlearned=True)
        except ValueError:
            continue
        assert found.to_bytes() == content
    shuffled = dict(np.load(io.BytesIO(content)))
    shuffled["seen_retained"] = ~shuffled["seen_retained"]
    with pytest.raises(ValueError, match="other samples"):
        Reference.from_bytes(packed(shuffled), game, 1, unlearned=True)
    other, _ = challenge_of(make_dataset(train=60, test=40), np.arange(12), val=[51])
    with pytest.raises(ValueError, match="shape"):
        Reference.from_bytes(content, other, 1, unlearned=True)


# --- what the attacks find ----------------------------------------------------------------


NOISY = set()  # numbers of the forgotten samples whose label is not theirs


@cache
def memorised() -> tuple[dict[str, View], Challenge, list[Reference]]:
    """An original that fits noisy digits, its oracle, and references.

    The digits are shuffled first, so that training and test images are alike; a third of the
    labels is noise, which can only be memorised.
    """
    digits, draws = load_data("digits"), np.random.default_rng(5)
    order = torch.from_numpy(draws.permutation(1797))
    pixels = torch.cat([digits.train.pixels, digits.test.pixels])[order]
    labels = torch.cat([digits.train.labels, digits.test.labels])[order].clone()
    noisy = torch.from_numpy(draws.random(1797) < 1 / 3)
    wrong = labels.clone()
    wrong[noisy] = torch.from_numpy(draws.integers(0, 10, int(noisy.sum())))
    NOISY.update(torch.nonzero((labels != wrong)[:240]).flatten().tolist())
    labels = wrong
    train, test = (Images(pixels[part], labels[part]) for part in (slice(240), slice(240, 1040)))
    data = replace(digits, train=train, test=test)
    recipe = replace(
        make_recipe(data),
        training=Training(epochs=25, batch_size=32, augment="none", schedule="one_cycle", lr=0.1),
        pruning={"rate": 0.0},
        split=SplitSpec(val_share=0.0),
    )
    original = train_original(data, recipe, Run())
    forget = np.arange(100)
    game, split = challenge_of(data, forget, retained=40)
    oracle = Checkpoint(
        recipe.model.build(recipe.seed), original.mask, Spec(DataSpec.of(data), recipe)
    )
    make_method("retrain").unlearn(oracle, split, Run())
    method = make_method("ft", {"epochs": 1, "lr": 1e-4})  # as good as nothing
    unlearned = Checkpoint(recipe.model.build(0), original.mask, original.spec)
    unlearned.model.load_state_dict(original.model.state_dict())
    method.unlearn(unlearned, split, Run())
    views = {
        name: view_of(one.model, game, Run())
        for name, one in (("original", original), ("oracle", oracle), ("ft", unlearned))
    }
    found = [
        make_reference(
            original, game, number, Run(seed=game.seed_of(number)), train_network, method.unlearn
        )
        for number in range(6)
    ]
    return views, game, found


def numbers(model: str, kind: str, *, unlearned: bool = False) -> dict[str, float]:
    views, game, references = memorised()
    seen = np.stack([one.seen["attacked"] for one in references])
    looks = [one.unlearned if unlearned else one.trained for one in references]
    scores = attack(views[model], looks, seen, gamma=1.0)[kind]  # type: ignore[arg-type]
    cut = len(game.members)
    return rates(scores[:cut], scores[cut:])


@pytest.mark.slow
def test_the_original_fits_its_training_data():
    views, _, _ = memorised()
    forgotten = views["original"]["attacked"].select(torch.arange(100))
    assert forgotten.accuracy() > 97
    assert views["oracle"]["attacked"].select(torch.arange(100)).accuracy() < 80


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lira", "rmia"])
def test_what_is_memorised_is_found(kind):
    found = numbers("original", kind)
    assert found["auc"] > 0.75
    assert found["auc_lo"] > 0.65


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lira", "rmia"])
def test_nothing_is_found_of_an_oracle(kind):
    found = numbers("oracle", kind)
    assert found["auc_lo"] < 0.5 < found["auc_hi"]


@pytest.mark.slow
def test_a_method_that_forgets_nothing_is_found_out():
    assert numbers("ft", "lira", unlearned=True)["auc_lo"] > 0.65


@pytest.mark.slow
def test_the_logits_are_kept_as_networks_give_them():
    views, _, _ = memorised()
    kept = view_arrays("original", views["original"])
    assert kept["original_attacked"].dtype == np.float32
    assert np.array_equal(kept["original_attacked"], views["original"]["attacked"].logits.numpy())


@cache
def records() -> dict[str, Records]:
    views, game, references = memorised()
    views = {"unlearned" if name == "ft" else name: view for name, view in views.items()}
    return records_of(views, references, game)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["forget", "retain"])
def test_samples_with_planted_wrong_labels_are_the_most_memorised(part):
    one = records()[part]
    found, _ = one.memorised
    planted = np.isin(one.samples, sorted(NOISY))
    assert 5 < planted.sum() < len(planted) / 2
    looks = [each.trained for each in memorised()[2]]
    margins = np.stack([
        look["attacked" if part == "forget" else "retained"].score("margin").numpy()
        for look in looks
    ])[:, : len(planted)]  # fmt: skip
    order = most_memorised(one.right, margins, one.seen)
    first = planted[order][: planted.sum() // 2]
    assert first.mean() > 0.9
    assert found[planted].mean() > found[~planted].mean() + 0.4
    numbers = mean_memorisations(records())
    ending = "" if part == "forget" else "_retain"
    assert numbers[f"memorisation{ending}"] == pytest.approx(found.mean())
    ends = numbers[f"memorisation{ending}_lo"], numbers[f"memorisation{ending}_hi"]
    assert 0 < ends[0] < found.mean() < ends[1]


@pytest.mark.slow
def test_planted_records_are_exposed_in_the_original_and_not_in_the_oracle():
    one = records()["forget"]
    planted = np.isin(one.samples, sorted(NOISY))
    order = np.argsort(one.exposures["original"].rate)
    assert planted[order][:10].mean() >= 0.9
    shares = {name: one.exposed(name)["exposed_at_1"] for name in one.exposures}
    assert shares["original"] > shares["oracle"] + 5
    assert abs(shares["unlearned"] - shares["original"]) < 5  # it forgot nothing
    assert one.exposed("oracle")["exposed_at_1_lo"] <= 1


@pytest.mark.slow
def test_retained_records_are_as_exposed_in_the_oracle_as_in_the_original():
    """Both trained on them."""
    one = records()["retain"]
    for name in ("original", "oracle", "unlearned"):
        assert one.exposed(name)["exposed_at_1_retain_lo"] > 1
