"""Calibration finds the best mix where the answer is known, and stays with the Gaussian map where little speaks."""

import numpy as np
import pytest
import torch

from cryoinv.denoisers import solvent_mask
from cryoinv.metrics import fourier_shell_correlation
from cryoinv.networks import GatedUNet, read_network, write_network
from cryoinv.networks.apply import filtered
from cryoinv.operators import soft_sphere
from cryoinv.spaces import centred_rfft, radial_mean
from cryoinv.training import Calibration, GaussianPairs, held_out_pairs, recalibrate
from cryoinv.training.calibration import FSC_ENDS, RESOLUTION_ENDS, gaussian_map
from cryoinv.training.held_out import context_of

from .corpora import truth_maker


@pytest.fixture(scope="module")
def pairs():
    return held_out_pairs([GaussianPairs(truth_maker(24, 5.0), resolutions=(11.0, 16.0), exponents=(0.0, 0.0))], 8)


def rows(solved, least=12):
    """(end of the bin of FSC, a, b, gain) of all bins in which so many shells spoke."""
    tables = (solved[name] for name in ("a", "b", "gain", "shells"))
    for bins in zip(*tables, strict=True):
        for end, a, b, gain, count in zip(FSC_ENDS, *bins, strict=True):
            if count >= least:
                yield end, a, b, gain


def test_a_perfect_denoiser_is_believed(pairs):
    """Where the Gaussian map has errors; where it is right already there is nothing to gain."""
    calibration = Calibration(lambda x, w: pairs.truth)
    calibration.add(pairs)
    found = [each for each in rows(calibration.solved()) if each[0] <= 0.95]
    assert found and all(b > 0.5 and gain > 0.5 for _, _, b, gain in found)


def test_noise_is_not_believed(pairs):
    calibration = Calibration(lambda x, w: torch.randn(x.shape, generator=torch.Generator().manual_seed(0)))
    calibration.add(pairs)
    found = list(rows(calibration.solved()))
    assert found and all(abs(b) < 0.2 and a > 0.8 for _, a, b, _ in found)


def test_a_damped_denoiser_is_undamped(pairs):
    """W times the truth wants b = 1/W, in bins so narrow that W hardly changes."""
    calibration = Calibration(lambda x, w: filtered(w, pairs.truth))
    calibration.add(pairs)
    solved = calibration.solved()
    row = int(np.argmax([sum(each) for each in solved["shells"]]))
    column = FSC_ENDS.index(0.99)
    if solved["shells"][row][column] >= 12:
        assert solved["b"][row][column] + solved["a"][row][column] == pytest.approx(1 / 0.97, abs=0.06)


def test_bins_without_shells_are_the_gaussian_map(pairs):
    calibration = Calibration(lambda x, w: pairs.truth)
    calibration.add(pairs)
    solved = calibration.solved()
    empty = [
        (a, b, gain)
        for rows_ in zip(solved["a"], solved["b"], solved["gain"], solved["shells"], strict=True)
        for a, b, gain, count in zip(*rows_, strict=True)
        if count == 0
    ]
    assert empty and all(abs(a - 1) < 1e-6 and b == 0 and gain == 0 for a, b, gain in empty)
    assert len(solved["a"]) == len(RESOLUTION_ENDS) and len(solved["a"][0]) == len(FSC_ENDS)


def test_coefficients_are_the_least_squares_of_all_shells(pairs):
    """Against numpy's least squares on the very shells of one bin, with so many shells that the belief is small."""
    noise = torch.randn(pairs.noisy.shape, generator=torch.Generator().manual_seed(0)) * pairs.truth.std()
    calibration = Calibration(lambda x, w: filtered(w, pairs.truth + 0.3 * noise))
    for _ in range(40):
        calibration.add(pairs)
    solved = calibration.solved()
    found = calibration.denoise(pairs.noisy, pairs.transfer)
    left, right = {}, {}
    for i in range(len(pairs)):
        context = context_of(pairs, i)
        row = int(np.searchsorted(RESOLUTION_ENDS, context.resolution))
        mapped = gaussian_map(pairs.noisy[i], context.fsc, pairs.radii[i] / 5.0)
        sphere, mask = soft_sphere(24, pairs.radii[i] / 5.0, 5.0), solvent_mask(pairs.noisy[i], context)
        m, f, t = (
            centred_rfft((window * each).double())
            for window, each in ((mask, mapped), (mask, found[i]), (sphere, pairs.truth[i]))
        )
        product = lambda a, b: radial_mean((a * b.conj()).real, 24)  # noqa: E731
        power = product(t, t)
        for s in range(1, 12):
            column = int(np.searchsorted(FSC_ENDS, float(pairs.transfer[i, s])))
            key = row, column
            gram = (
                np.array([[product(m, m)[s], product(m, f)[s]], [product(m, f)[s], product(f, f)[s]]]) / power[s].item()
            )
            left[key] = left.get(key, 0) + gram
            right[key] = right.get(key, 0) + np.array([product(m, t)[s], product(f, t)[s]]) / power[s].item()
    key = max(left, key=lambda k: solved["shells"][k[0]][k[1]])
    mix = np.linalg.solve(left[key], right[key])
    error = lambda v: v @ left[key] @ v - 2 * v @ right[key]  # noqa: E731
    told = np.array([solved["a"][key[0]][key[1]], solved["b"][key[0]][key[1]]])
    assert error(told) - error(mix) < 0.02 * (error(np.array([1.0, 0.0])) - error(mix))


def test_the_excess_is_by_how_much_denoised_halves_agree_more(pairs):
    """A denoiser that gives both halves the truth makes them agree entirely: the excess is 1 less what they did."""
    calibration = Calibration(lambda x, w: pairs.truth)
    calibration.add(pairs)
    solved, total = calibration.solved(), 0.0
    plain = []
    for i in range(1, len(pairs), 2):
        sphere = soft_sphere(24, pairs.radii[i] / 5.0, 5.0)
        plain.append(fourier_shell_correlation(sphere * pairs.noisy[i - 1], sphere * pairs.noisy[i])[1:12])
    told = torch.tensor(solved["excess"])
    assert float(told.max()) <= 1.0 and float(told.min()) >= 0.0
    counts = calibration._excess[..., 1]
    total = float((told * counts).sum() / counts.sum())
    assert total == pytest.approx(1 - float(torch.stack(plain).mean()), abs=1e-3)


def test_the_gaussian_map_is_that_of_the_volume_normalised_prior():
    """tau^2 K / (1 + tau^2 K) with tau^2 K = F / ((1 - F) v), shell by shell."""
    x = torch.randn(16, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    fsc = torch.linspace(0.95, 0.05, 9, dtype=torch.float64)
    share = float((soft_sphere(16, 5.0, 5.0) ** 2).mean())
    tau2_k = fsc / (1 - fsc) / share
    expected = filtered(tau2_k / (1 + tau2_k), x)
    torch.testing.assert_close(gaussian_map(x, fsc, 5.0), expected)


def test_a_file_is_calibrated_again(pairs, tmp_path):
    torch.manual_seed(0)
    network = GatedUNet(2, 1)
    write_network(tmp_path / "a.safetensors", network, (5.0, 5.0), {"structures": 3, "calibration": {"a": "old"}})
    found = recalibrate(tmp_path / "a.safetensors", tmp_path / "b.safetensors", [pairs], "heaps in Gaussian noise")
    again, metadata = read_network(tmp_path / "b.safetensors", "denoiser")
    assert metadata["notes"] == {"structures": 3, "calibration": found, "calibrated_on": "heaps in Gaussian noise"}
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), network.parameters(), strict=True))
    assert sum(map(sum, found["shells"])) > 50
