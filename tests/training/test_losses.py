"""Losses against direct sums."""

import numpy as np
import pytest
import torch

from cryoinv.training import denoising_loss, relative_errors


def drawn(seed, n=9, count=2):
    return torch.randn(count, n, n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_relative_errors_are_ratios_of_norms():
    found, target = drawn(0), drawn(1)
    one, two = relative_errors(found, target)
    for i in range(2):
        error = (found[i] - target[i]).numpy().ravel()
        assert one[i] == pytest.approx(np.linalg.norm(error, 1) / np.linalg.norm(target[i].numpy().ravel(), 1))
        assert two[i] == pytest.approx(np.linalg.norm(error) / np.linalg.norm(target[i].numpy()))


@pytest.mark.parametrize("n", [8, 9])
def test_the_loss_is_the_formula_over_full_spectra(n):
    found, target, wiener = drawn(0, n), drawn(1, n), drawn(2, n)
    transfer = torch.tensor([[1.0, 1, 0.5, 0.2, 0], [1, 0.3, 0, 0, 0]])
    k = np.fft.fftfreq(n, 1 / n)
    shells = np.floor(np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k**2) + 0.5)
    total = 0.0
    for i in range(2):
        f, t, v = (each[i].numpy() for each in (found, target, wiener))
        norms = [np.abs(f - t).sum() / np.abs(v - t).sum(), np.linalg.norm(f - t) / np.linalg.norm(v - t)]
        own, theirs = np.fft.fftn(f - t), np.fft.fftn(v - t)
        used = [s for s in range(n // 2 + 1) if transfer[i, s] > 0]
        ratios = [np.linalg.norm(own[shells == s]) / np.linalg.norm(theirs[shells == s]) for s in used]
        total += (np.mean(np.log(norms)) + 0.3 * np.mean(np.log(ratios))) / 2
    # A thousandth of the filter's error is added to every error.
    assert float(denoising_loss(found, target, wiener, transfer, shells=0.3)) == pytest.approx(total, abs=2e-3)


def test_the_wiener_filter_itself_has_no_loss_and_half_its_errors_a_factor():
    target, wiener = drawn(0), drawn(1)
    halfway = (wiener + target) / 2
    assert float(denoising_loss(wiener, target, wiener, torch.ones(2, 5), shells=0.5)) == pytest.approx(0, abs=2e-3)
    found = float(denoising_loss(halfway, target, wiener, torch.ones(2, 5), shells=0.5))
    assert found == pytest.approx(1.5 * np.log(0.5), abs=5e-3)


def test_where_the_filter_is_right_the_target_is_the_measure():
    target = drawn(0)
    found = float(denoising_loss(1.01 * target, target, target, torch.ones(2, 5), shells=0.5))
    assert found == pytest.approx(1.5 * np.log(0.01 / 0.02), abs=5e-3)


def test_a_perfect_map_has_a_finite_loss_and_gradient():
    target = drawn(0)
    found = target.clone().requires_grad_()
    loss = denoising_loss(found, target, drawn(1), torch.ones(2, 5))
    loss.backward()
    assert -12 < float(loss.detach()) < -5 and bool(found.grad.isfinite().all())


def test_shells_that_the_filter_stops_say_nothing():
    target, wiener = drawn(0, 8), drawn(1, 8)
    halfway = (wiener + target) / 2
    low = torch.tensor([[1.0, 1, 0, 0, 0]]).expand(2, -1)
    shells = torch.fft.fftfreq(8, 1 / 8)
    fine = ((shells[:, None, None] ** 2 + shells[:, None] ** 2 + shells**2).sqrt() > 1.5).double()
    changed = halfway + torch.fft.ifftn(fine * torch.fft.fftn(drawn(4, 8), dim=(1, 2, 3)), dim=(1, 2, 3)).real
    parts = [denoising_loss(each, target, wiener, low, shells=g) for each in (halfway, changed) for g in (1.0, 0.0)]
    by_shells = [float(parts[0] - parts[1]), float(parts[2] - parts[3])]
    assert by_shells == pytest.approx([np.log(0.5)] * 2, abs=5e-3) and float(parts[3]) > float(parts[1])


def test_a_map_of_which_the_filter_leaves_nothing_is_left_out():
    """Its target is zero: without care its gradient is not a number."""
    target, wiener = drawn(0), drawn(1)
    transfer = torch.tensor([[1.0, 1, 1, 1, 1], [0, 0, 0, 0, 0]])
    found = torch.stack([drawn(2)[0], torch.zeros(9, 9, 9, dtype=torch.float64)]).requires_grad_()
    target = torch.stack([target[0], torch.zeros_like(target[1])])
    wiener = torch.stack([wiener[0], torch.zeros_like(wiener[1])])
    loss = denoising_loss(found, target, wiener, transfer)
    loss.backward()
    alone = denoising_loss(found[:1].detach(), target[:1], wiener[:1], transfer[:1])
    assert bool(found.grad.isfinite().all()) and float(loss.detach()) == pytest.approx(float(alone))
    assert float(denoising_loss(found.detach(), target, wiener, 0 * transfer)) == 0.0
