"""What all attacks together say of a model: known leaks, perfect oracles, small and odd sets."""

import numpy as np
import pytest
import torch
from scipy.stats import binom, binomtest

from mu.evaluation.catalogue import metric
from mu.evaluation.comparison import compare, gap_statistics
from mu.evaluation.controls import logit_masked
from mu.evaluation.membership import (
    ATTACKS,
    SCORES,
    Attack,
    called_members,
    efficacy,
    fit_auc,
    membership,
    rates_of_all,
    unseen_of_same_classes,
)
from mu.evaluation.outputs import Outputs, SplitOutputs


def outputs(count, ahead, seed, classes=4, label=None):
    """Logits whose true class stands out by ``ahead``."""
    draws = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (count,), generator=draws)
    if label is not None:
        labels = torch.full((count,), label)
    logits = torch.randn(count, classes, generator=draws, dtype=torch.float64)
    logits[torch.arange(count), labels] += ahead
    return Outputs(logits, labels)


def look(forget=6.0, retain=6.0, test=1.0, sizes=(60, 300, 200), seed=0):
    parts = (
        outputs(n, a, seed + i)
        for i, (n, a) in enumerate(zip(sizes, (forget, retain, test), strict=True))
    )
    return SplitOutputs(*parts, test_forgotten=None)


def test_a_model_that_memorises_is_found_out():
    found = membership(look(), seed=0)
    assert found["MIA"] < 10
    assert found["MIA_auc"] > 0.95
    assert found["MIA_tpr_at_1"] > 30
    for name in ("confidence", "entropy", "m_entropy", "threshold"):
        assert found[f"MIA_privacy_{name}"] > 80, name


def test_a_model_that_treats_all_alike_gives_nothing_away():
    found = membership(look(2.0, 2.0, 2.0, (400, 1500, 1500)), seed=0)
    assert found["MIA_auc_lo"] <= 0.5 <= found["MIA_auc_hi"]
    for name in SCORES:
        assert abs(found[f"MIA_privacy_{name}"] - 50) < 5, name


def test_whether_the_attack_has_anything_to_tell_members_by():
    """As the rule in mu.report.alarms reads it: where both kinds are alike, or all scores tie."""
    works = fit_auc(look(forget=1.0))  # of what is retained, whatever is made of the forget set
    assert works["MIA_fit_auc_lo"] > 0.9
    alike = fit_auc(look(2.0, 2.0, 2.0, (400, 1500, 1500)))
    assert alike["MIA_fit_auc_lo"] <= 0.5 <= alike["MIA_fit_auc_hi"]
    sure = fit_auc(look(2000.0, 2000.0, 2000.0))  # every confidence is exactly 1
    assert set(sure.values()) == {0.5}


def test_privacy_is_judged_on_samples_that_the_attack_was_not_fitted_on(monkeypatch):
    def by_rote(members, _):
        """Knows the very members that it was fitted on, and nothing else."""
        known = set(map(tuple, members.logits.tolist()))

        def calls(some):
            return np.array([tuple(row) in known for row in some.logits.tolist()])

        return Attack(calls, lambda some: calls(some).astype(float))

    monkeypatch.setitem(ATTACKS, "threshold", by_rote)
    assert membership(look(), seed=0)["MIA_privacy_threshold"] == 50.0
    assert rates_of_all(look(), seed=0)["MIA_privacy_threshold_auc"] == 0.5


def test_the_seed_draws_what_attacks_are_fitted_on(monkeypatch):
    fitted = []

    def spy(members, others):
        fitted.append((members.logits.tolist(), others.logits.tolist()))
        return threshold(members, others)

    threshold = ATTACKS["threshold"]
    monkeypatch.setitem(ATTACKS, "threshold", spy)
    one = look(sizes=(60, 300, 200))
    drawn = []
    for seed in (0, 0, 1):
        fitted.clear()
        membership(one, seed=seed)
        drawn.append(list(fitted))
    first, again, other = drawn
    assert first == again
    assert [len(members) for members, _ in first] == [200, 100]  # efficacy, privacy
    for (ours, _), (theirs, _) in zip(first, other, strict=True):
        assert sorted(ours) != sorted(theirs)


def test_every_number_is_in_the_catalogue():
    found = membership(look(), seed=0)
    assert {f"MIA_{name}" for name in SCORES if name != "confidence"} <= set(found)
    for name, value in found.items():
        assert metric(name).definition
        assert 0 <= value <= 100


def test_the_interval_of_the_rate_is_wilsons():
    found = membership(look(3.0), seed=0)
    hits = round(found["MIA"] * 60 / 100)
    wilson = binomtest(hits, 60).proportion_ci(0.95, "wilson")
    assert (found["MIA_lo"], found["MIA_hi"]) == (100 * wilson.low, 100 * wilson.high)


def test_the_interval_of_the_privacy_attack_is_wilsons_over_the_held_out_samples():
    found = membership(look(3.0), seed=0)
    held_out = 2 * (min(len(look().retain), len(look().test)) // 2)
    right = round(found["MIA_privacy_confidence"] * held_out / 100)
    wilson = binomtest(right, held_out).proportion_ci(0.95, "wilson")
    ends = (found["MIA_privacy_confidence_lo"], found["MIA_privacy_confidence_hi"])
    assert ends == (100 * wilson.low, 100 * wilson.high)


def test_an_original_that_remembers_everything_by_which_nothing_can_be_told_has_mia_0():
    """RA = TA = 100, every confidence the same, or the same in both sets: all are members."""
    same = outputs(300, 3.0, 7)
    for one in (look(2000.0, 2000.0, 2000.0), SplitOutputs(same, same, same, None)):
        found = membership(one, seed=0)
        for name in ("MIA", "MIA_correctness", "MIA_entropy", "MIA_m_entropy", "MIA_threshold"):
            assert found[name] == 0, name
        assert found["MIA_auc"] == 0.5
    assert found["MIA_prob"] == 0  # sure vectors tell classes, which may be of unequal shares
    assert membership(look(2000.0, 2000.0, 2000.0), seed=0)["MIA_privacy_confidence"] == 50


def test_the_order_of_samples_does_not_matter():
    one = look(3.0)
    turned = SplitOutputs(
        one.forget.select(torch.randperm(60, generator=torch.Generator().manual_seed(1))),
        one.retain, one.test, None,
    )  # fmt: skip
    assert membership(one, seed=3) == membership(turned, seed=3)


@pytest.mark.parametrize("sizes", [(1, 300, 200), (60, 1, 200), (60, 300, 1), (1, 1, 1), (5, 3, 7)])
def test_sets_of_one_and_of_unequal_sizes(sizes):
    found = membership(look(sizes=sizes), seed=0)
    assert 0 <= found["MIA"] <= 100
    assert ("MIA_privacy_prob" in found) == (min(sizes[1:]) > 1)


def test_unseen_images_are_those_of_the_forget_sets_classes():
    whole = SplitOutputs(
        outputs(20, 5, 0, label=2), outputs(50, 5, 1), outputs(40, 1, 2), outputs(9, 1, 3, label=2)
    )
    unseen = unseen_of_same_classes(whole)
    assert set(unseen.labels.tolist()) == {2}
    assert len(unseen) == 9 + int((whole.test.labels == 2).sum())
    gone = SplitOutputs(outputs(20, 5, 0, label=3, classes=5), whole.retain, whole.test, None)
    assert "MIA_auc" not in membership(
        SplitOutputs(gone.forget, outputs(50, 5, 1, 5, 0), outputs(40, 1, 2, 5, 1), None), seed=0
    )


def gap_interval(ours, oracle, *, seed):
    found = gap_statistics(ours, oracle, seed=seed)
    return found["gap_lo"], found["gap_hi"]


def test_a_model_is_no_distance_from_itself():
    found = compare(look(3.0), look(3.0), seed=0)
    assert {found[name] for name in ("gap", "gap_lo", "gap_hi", "js_forget", "js_test")} == {0.0}
    assert (found["tow"], found["agreement_retain"]) == (1.0, 100.0)


def test_the_gaps_interval_holds_the_gap_and_narrows_with_more_samples():
    few, many = (
        gap_interval(look(2.0, 6, 1, s), look(0.5, 6, 1.5, s), seed=0)
        for s in ((50, 50, 50), (2000, 2000, 2000))
    )
    truth = compare(look(2.0, 6, 1, (2000,) * 3), look(0.5, 6, 1.5, (2000,) * 3), seed=0)["gap"]
    assert many[0] <= truth <= many[1]
    assert many[1] - many[0] < few[1] - few[0]


def test_the_gaps_interval_is_at_95_percent():
    """Models that differ in a binomial number of retain samples, and in nothing else."""
    count, wrong = 400, 100
    rest = look(3.0)
    sure, unsure = (torch.tensor(row).log() for row in ([0.4, 0.35, 0.15, 0.1], [0.4, 0.5, 0.1, 0]))
    labels = torch.zeros(count, dtype=torch.int64)
    ours, oracle = (
        SplitOutputs(rest.forget, Outputs(logits, labels), rest.test, None)
        for logits in (
            sure.repeat(count, 1),
            torch.cat([unsure.repeat(wrong, 1), sure.repeat(count - wrong, 1)]),
        )
    )
    found = gap_interval(ours, oracle, seed=0)
    exact = binom.ppf([0.025, 0.975], count, wrong / count) / count
    assert found == pytest.approx(100 * exact / 4, abs=0.08)  # at 90 %: 0.17 off


def test_the_gaps_interval_follows_the_seed():
    one, other = look(2.0, 6, 1, (200,) * 3), look(0.5, 6, 1.5, (200,) * 3)  # equal: all are drawn
    first, again, third = (gap_interval(one, other, seed=seed) for seed in (0, 0, 1))
    assert first == again != third


def test_efficacy_counts_the_forget_set_only():
    spoilt = look(3.0)
    assert efficacy(spoilt, "confidence", seed=0) == membership(spoilt, seed=0)["MIA"]


def test_every_attack_has_its_rates():
    one = look()
    found = rates_of_all(one, seed=0)
    assert found["MIA_auc"] == membership(one, seed=0)["MIA_auc"]
    for name in ATTACKS:
        both = ("MIA" if name == "confidence" else f"MIA_{name}", f"MIA_privacy_{name}")
        for start in both:
            assert found[f"{start}_auc_lo"] <= found[f"{start}_auc"] <= found[f"{start}_auc_hi"]
            assert found[f"{start}_auc"] > (0.5 if name == "correctness" else 0.7), start
            assert metric(f"{start}_auc_lo").unit == "0-1"


def test_the_gain_is_over_doing_nothing_and_of_nothing_is_zero():
    original, oracle = look(2.0, 6, 1, (200,) * 3), look(0.5, 6, 1.5, (200,) * 3)
    nothing = compare(original, oracle, original, seed=0)
    assert nothing["gap_before"] == nothing["gap"] > 0
    assert nothing["gain"] == nothing["gain_lo"] == nothing["gain_hi"] == 0
    perfect = compare(oracle, oracle, original, seed=0)
    assert perfect["gain"] == perfect["gap_before"] == nothing["gap"]
    assert 0 < perfect["gain_lo"] <= perfect["gain"] <= perfect["gain_hi"]
    assert "gain" not in compare(original, oracle, seed=0)


def test_the_chance_of_a_gap_against_signs_drawn_sample_by_sample():
    """By a loop over draws, in which each sample changes sides with the probability of a half."""
    same, noise = look(1.0, 2, 1, (60,) * 3), torch.Generator().manual_seed(9)

    def noisy() -> SplitOutputs:
        return SplitOutputs(
            *(
                Outputs(one.logits + torch.randn(one.logits.shape, generator=noise), one.labels)
                for one in (same.forget, same.retain, same.test)
            ),
            None,
        )

    ours, oracle = noisy(), noisy()
    found = compare(ours, oracle, seed=0)["gap_p"]
    flags = [
        [one.forget.right.numpy(), one.retain.right.numpy(), one.test.right.numpy(),
         called_members(one, "confidence", seed=0)]
        for one in (ours, oracle)
    ]  # fmt: skip
    differ = [a.astype(int) - b.astype(int) for a, b in zip(*flags, strict=True)]
    observed = sum(abs(one.mean()) for one in differ)
    draws, as_large = np.random.default_rng(1), 0
    for _ in range(4000):
        signs = [draws.choice([-1, 1], len(one)) for one in differ[:3]]
        signs.append(signs[0])  # UA and MIA are of the same samples
        gap = sum(abs((a * b).mean()) for a, b in zip(differ, signs, strict=True))
        as_large += gap >= observed - 1e-9
    assert 0.01 < found < 0.99
    assert found == pytest.approx(as_large / 4000, abs=0.04)


def test_equal_models_have_no_gap_by_more_than_chance_and_others_do():
    one, other = look(3.0, 6, 1, (300,) * 3), look(-1.0, 6, 1, (300,) * 3)
    assert compare(one, one, seed=0)["gap_p"] == 1
    assert compare(one, other, seed=0)["gap_p"] < 0.01


def test_a_masked_logit_is_never_predicted_and_changes_nothing_else():
    outputs = look(3.0)
    masked = logit_masked(outputs, [0])
    assert masked is not None
    for name, part in masked.parts().items():
        assert not (part.predictions == 0).any()
        assert part.finite
        before = outputs.parts()[name]
        others = (before.predictions != 0) & (before.labels != 0)
        assert torch.equal(part.predictions[others], before.predictions[others])
    assert (masked.forget.confidence()[masked.forget.labels == 0] == 0).all()
    assert logit_masked(outputs, []) is None
    reduced = SplitOutputs(
        *(one.reduced() for one in (outputs.forget, outputs.retain, outputs.test)), None
    )
    assert logit_masked(reduced, [0]) is None
