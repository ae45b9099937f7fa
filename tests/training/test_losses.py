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
    found, target = drawn(0, n), drawn(1, n)
    transfer = torch.tensor([[1.0, 1, 0.5, 0.2, 0], [1, 0.3, 0, 0, 0]])
    k = np.fft.fftfreq(n, 1 / n)
    shells = np.floor(np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k**2) + 0.5)
    total = 0.0
    for i in range(2):
        f, t = (np.fft.fftn(each[i].numpy()) for each in (found, target))
        used = [s for s in range(n // 2 + 1) if transfer[i, s] > 0]
        ratios = [np.linalg.norm((f - t)[shells == s]) / np.linalg.norm(t[shells == s]) for s in used]
        one, two = (float(each[i]) for each in relative_errors(found, target))
        total += (0.5 * one + 0.5 * two + 0.3 * np.mean(ratios)) / 2
    assert float(denoising_loss(found, target, transfer, shells=0.3)) == pytest.approx(total, rel=1e-5)


def test_a_perfect_map_has_no_loss_and_a_finite_gradient():
    target = drawn(0)
    found = target.clone().requires_grad_()
    loss = denoising_loss(found, target, torch.ones(2, 5))
    loss.backward()
    assert float(loss) < 1e-3 and bool(found.grad.isfinite().all())


def test_shells_without_truth_say_nothing():
    n = 8
    target = torch.zeros(1, n, n, n, dtype=torch.float64) + torch.cos(2 * torch.pi * torch.arange(n) / n)
    found = target + 0.01 * drawn(3, n, 1)
    only_first = torch.tensor([[0.0, 1, 0, 0, 0]])
    assert denoising_loss(found, target, torch.ones(1, 5)) == pytest.approx(
        float(denoising_loss(found, target, only_first)), rel=1e-6
    )
