"""Schedules: against torch's own, and the laws that each must keep."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mu.training import SCHEDULES, learning_rate_factor


def torch_rates(scheduler_of, epochs):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = scheduler_of(optimizer)
    rates = []
    for _ in range(epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize("epochs", [4, 20, 182])
def test_step_is_the_papers_multi_step_schedule(epochs):
    milestones = [epochs // 2, epochs * 3 // 4] if epochs % 4 == 0 else [91, 137]
    expected = torch_rates(
        lambda optimizer: torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones), epochs
    )
    ours = [learning_rate_factor("step", epoch, epochs) for epoch in range(epochs)]
    assert ours == pytest.approx(expected)


def test_cosine_is_torchs():
    expected = torch_rates(
        lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 30), 30
    )
    ours = [learning_rate_factor("cosine", epoch, 30) for epoch in range(30)]
    assert ours == pytest.approx(expected)


def test_one_cycle_is_torchs_with_a_linear_rise():
    epochs = 100
    expected = torch_rates(
        lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(
            optimizer, 1.0, epochs, anneal_strategy="cos", cycle_momentum=False
        ),
        epochs,
    )
    ours = [learning_rate_factor("one_cycle", epoch, epochs) for epoch in range(epochs)]
    assert max(ours) == pytest.approx(max(expected), abs=1e-3)
    assert ours[0] == pytest.approx(expected[0])
    # The fall is the same half cosine; torch stretches it over one step less.
    assert ours[40:] == pytest.approx(expected[40:], abs=0.03)


@given(
    schedule=st.sampled_from(sorted(SCHEDULES)),
    time=st.floats(0, 1, exclude_max=True),
    epochs=st.integers(1, 300),
    stretch=st.integers(2, 10),
)
def test_a_schedule_scales_with_its_length_and_stays_between_0_and_1(
    schedule, time, epochs, stretch
):
    factor = learning_rate_factor(schedule, time * epochs, epochs)
    assert 0 <= factor <= 1
    # The step schedule jumps: a rounding error at the jump itself may land on either side.
    if min(abs(time - 0.5), abs(time - 0.75)) > 1e-9:
        longer = learning_rate_factor(schedule, time * epochs * stretch, epochs * stretch)
        assert longer == pytest.approx(factor, abs=1e-9)


def test_warm_up_rises_linearly_to_the_schedule():
    rates = [learning_rate_factor("constant", epoch / 2, 10, warmup=2) for epoch in range(8)]
    assert rates == pytest.approx([0, 0.25, 0.5, 0.75, 1, 1, 1, 1])


@pytest.mark.parametrize("steps", [100, 490])
def test_a_triangle_is_two_lines(steps):
    """By step: from 0.2 to 1 at 23 % of the steps, then to 0.07."""
    peak = 0.23 * steps
    for step in range(steps + 1):
        up = 0.2 + 0.8 * step / peak
        down = 1 - 0.93 * (step - peak) / (steps - peak)
        factor = learning_rate_factor("triangle", step / steps * 10, 10)
        assert factor == pytest.approx(min(up, down), abs=1e-12)
