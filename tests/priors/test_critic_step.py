"""The critic's training step against closed forms, and what training leads to."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cryoinv.errors import InputError
from cryoinv.networks import ConvolutionalCritic
from cryoinv.priors import critic_step
from cryoinv.priors.critic_step import slopes


class Linear(torch.nn.Module):
    """The linear critic, mean_r a_r v_r, whose slope in the root-mean-square norm is that of a."""

    def __init__(self, weights):
        super().__init__()
        self.weights = torch.nn.Parameter(weights)

    def forward(self, volumes):
        return (self.weights * volumes).mean((1, 2, 3))


def drawn(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(st.integers(0, 1000), st.floats(0.1, 5), st.floats(0, 20))
def test_loss_and_its_gradient_for_a_linear_critic(seed, size, penalty):
    weights, clean, noisy = size * drawn(seed, 4, 4, 4), drawn(seed + 1, 3, 4, 4, 4), drawn(seed + 2, 3, 4, 4, 4)
    critic, rate = Linear(weights.clone()), 0.01
    told = critic_step(critic, torch.optim.SGD(critic.parameters(), rate), clean, noisy, penalty)
    slope = float(weights.square().mean().sqrt())
    excess = max(slope - 1, 0)
    value = float((weights * (clean - noisy)).mean())
    assert told["slope"] == pytest.approx(slope) and told["penalty"] == pytest.approx(excess**2, abs=1e-9)
    assert told["loss"] == pytest.approx(value + penalty * excess**2)
    assert told["clean"] - told["noisy"] == pytest.approx(value)
    by_hand = (clean - noisy).mean(0) / 64 + penalty * 2 * excess * weights / (slope * 64)
    torch.testing.assert_close(critic.weights.detach(), weights - rate * by_hand, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("n", [5, 8])
def test_slopes_are_those_of_finite_differences(n):
    torch.manual_seed(0)
    critic, x = ConvolutionalCritic(3).double(), drawn(0, 2, n, n, n)
    found = slopes(critic, x).detach()
    for i in range(2):
        point = x[i : i + 1].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(critic(point).sum(), point)
        steepest, step = gradient / gradient.square().mean().sqrt(), 1e-5  # of length one
        rise = ((critic(point + step * steepest) - critic(point - step * steepest)) / (2 * step)).detach()
        assert float(found[i]) == pytest.approx(float(rise), rel=1e-6)


def test_the_best_linear_critic_points_from_clean_to_noisy():
    """For two points d apart the optimum is (d/|d|) times the slope 1 + |d|/(2 mu), the penalty being soft."""
    clean, d, penalty = drawn(0, 1, 4, 4, 4), drawn(1, 1, 4, 4, 4), 10.0
    critic = Linear(torch.zeros(4, 4, 4, dtype=torch.float64))
    optimiser = torch.optim.SGD(critic.parameters(), 2.0)
    for _ in range(300):
        told = critic_step(critic, optimiser, clean, clean + d, penalty)
    length = float(d.square().mean().sqrt())
    assert told["slope"] == pytest.approx(1 + length / (2 * penalty), rel=1e-6)
    torch.testing.assert_close(critic.weights.detach(), told["slope"] * d[0] / length, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_training_tells_noisy_maps_from_clean_ones_with_a_slope_of_one():
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    axis = torch.arange(8.0) - 4
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")

    def clean(count):  # a bright ball somewhere
        centre = torch.randn(count, 3, 1, 1, 1, generator=generator)
        squares = (torch.stack([z, y, x]) - centre).square().sum(1)
        return 4 * torch.exp(-squares / 8)

    def noisy(count):
        return clean(count) + torch.randn(count, 8, 8, 8, generator=generator)

    critic = ConvolutionalCritic(3)
    optimiser = torch.optim.Adam(critic.parameters(), 5e-3, betas=(0.5, 0.9))
    told = [critic_step(critic, optimiser, clean(8), noisy(8), generator=generator) for _ in range(200)]
    with torch.no_grad():
        low, high = critic(clean(50)), critic(noisy(50))
    assert float(low.max()) < float(high.min())
    assert 0.5 < np.mean([each["slope"] for each in told[-20:]]) < 1.1
    # No critic of slope one tells them further apart than the noise's length, 1; this small one not as far.
    assert 0.1 < float(high.mean() - low.mean()) < 1


def test_what_does_not_fit_is_refused():
    critic = ConvolutionalCritic(2)
    optimiser = torch.optim.Adam(critic.parameters())
    with pytest.raises(InputError, match="expected one"):
        critic_step(critic, optimiser, torch.zeros(2, 8, 8, 8), torch.zeros(1, 8, 8, 8))
    with pytest.raises(InputError, match="expected one number each"):
        critic_step(lambda v: critic(v)[:, None], optimiser, torch.zeros(2, 8, 8, 8), torch.zeros(2, 8, 8, 8))
    before = [weights.clone() for weights in critic.parameters()]
    with pytest.raises(InputError, match="loss of the critic is nan"):
        critic_step(critic, optimiser, torch.full((1, 8, 8, 8), torch.nan), torch.zeros(1, 8, 8, 8))
    assert all(torch.equal(a, b) for a, b in zip(before, critic.parameters(), strict=True))


def test_the_generator_decides_the_mixtures():
    critic, maps = ConvolutionalCritic(2), drawn(0, 2, 2, 8, 8, 8).float()
    still = torch.optim.SGD(critic.parameters(), 0.0)
    told = [critic_step(critic, still, *maps, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert told[0] == told[1] and told[0]["slope"] != told[2]["slope"]
