"""Pairs: half-maps are right where poses and noise are, and as noisy as they say."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cryoinv.denoisers import sphere_transfer
from cryoinv.errors import InputError
from cryoinv.geometry import random_rotations, rotation_distance
from cryoinv.metrics import fourier_shell_correlation
from cryoinv.operators import soft_sphere
from cryoinv.simulation.atoms import potential_of
from cryoinv.spaces import centred_rfft, radial_mean, shell_indices
from cryoinv.training import CoarsePairs, GaussianPairs, PairStream, PosedPairs, held_out_pairs
from cryoinv.training.pairs import windowed
from cryoinv.training.posed import _Errors

from .corpora import corpus, truth_maker

N, PIXEL = 32, 4.0


class Exact:
    """Poses without error."""

    def poses(self, right, rng):
        return [(right, np.zeros((len(right), 2)))]


@pytest.fixture(scope="module")
def posed():
    return PosedPairs(truth_maker(N, PIXEL, pixel_error=0.0), particles=(500, 500))


def gains(found, truth):
    x, t = centred_rfft(found), centred_rfft(truth)
    n = len(truth)
    return radial_mean((x * t.conj()).real, n) / radial_mean(t.abs() ** 2, n)


def test_the_reconstructor_has_gain_one_in_every_shell(posed):
    """What a network learns from must not be brighter or fainter than the truth in any shell, DC among them."""
    truth, _ = posed.truth(np.random.default_rng(0))
    half = posed._half(posed._scheme.prepare(truth), 1000, Exact(), 0.0, np.random.default_rng(1))
    found = gains(half, truth)[: (N - 1) // 2 + 1]
    assert (found - 1).abs().max() < 0.02


def test_noise_is_as_strong_as_the_resolution_says(posed):
    truth, _ = posed.truth(np.random.default_rng(0))
    prepared = posed._scheme.prepare(truth)
    for resolution in (12.0, 20.0):
        sigma = posed._noise(truth, 500, resolution)
        halves = [posed._half(prepared, 500, Exact(), sigma, np.random.default_rng(i)) for i in (2, 3)]
        shell = round(N * PIXEL / resolution)
        curve = fourier_shell_correlation(*halves)
        assert 0.06 < curve[shell - 1 : shell + 2].mean() < 0.26  # 1/7, within what few shells tell


@pytest.mark.parametrize("maker", [PosedPairs, GaussianPairs])
def test_the_same_numbers_give_the_same_pairs(maker):
    made = maker(truth_maker())
    one, two, other = (made(np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert torch.equal(one.noisy, two.noisy) and torch.equal(one.fsc, two.fsc)
    assert not torch.equal(one.noisy, other.noisy)
    assert one.noisy.shape == (2, 24, 24, 24) and one.fsc.shape == (2, 13) and len(one) == 2
    assert one.names[0].startswith("heap") and one.radii[0] > 10 and one.pixel_size == 5.0


@pytest.mark.parametrize("maker", [PosedPairs, GaussianPairs])
def test_the_fsc_is_that_of_the_halves_and_their_noise_is_independent(maker):
    made = maker(truth_maker())
    for seed in range(4):
        pairs = made(np.random.default_rng(seed))
        expected = torch.as_tensor(fourier_shell_correlation(*pairs.noisy))
        used = pairs.fsc[0] != 0
        torch.testing.assert_close(pairs.fsc[0][used].double(), expected[used], atol=1e-4, rtol=0)
        masked = pairs.noisy * soft_sphere(24, pairs.radii[0] / 5.0)
        inside = torch.as_tensor(fourier_shell_correlation(*masked))
        curve = pairs.fsc_masked[0]
        torch.testing.assert_close(curve.double(), inside * used, atol=1e-4, rtol=0)
        assert torch.equal(curve != 0, used) and torch.equal(pairs.transfer[0], sphere_transfer(curve).float())
        first, second = pairs.noisy - pairs.truth
        assert not torch.equal(first, second)
    if maker is GaussianPairs:
        cosine = float((first * second).sum() / first.norm() / second.norm())
        assert abs(cosine) < 0.1


def test_the_target_is_the_truth_times_the_fsc():
    pairs = PosedPairs(truth_maker())(np.random.default_rng(0))
    found, truth = centred_rfft(pairs.target[0]), centred_rfft(pairs.truth[0])
    shells = shell_indices(24)
    transfer = pairs.transfer[0]
    inside = shells <= 12
    expected = torch.where(inside, transfer[shells.clamp(max=12)], 0.0) * truth
    torch.testing.assert_close(found, expected, atol=1e-4 * float(truth.abs().max()), rtol=0)
    cut = int((transfer == 0).nonzero()[0]) if (transfer == 0).any() else len(transfer)
    assert not transfer[cut:].any() and (transfer[:cut] >= 0.02).all()


def test_poses_are_as_wrong_as_they_are_said_to_be():
    errors = _Errors(degrees=8.0, shift=3.0, outliers=0.0, copies=3)
    right = random_rotations(4000, np.random.default_rng(0))
    found = errors.poses(right, np.random.default_rng(1))
    assert len(found) == 3
    for rotations, shifts in found:
        angles = rotation_distance(rotations, right)
        assert np.sqrt((angles**2).mean()) == pytest.approx(8.0, rel=0.06)
        assert np.sqrt((shifts**2).sum(1).mean()) == pytest.approx(3.0, rel=0.05)
    # Draws of one posterior share its mean: they are nearer to each other than if they did not.
    between = rotation_distance(found[0][0], found[1][0])
    assert np.sqrt((between**2).mean()) == pytest.approx(8.0, rel=0.06)
    lost = _Errors(0.0, 0.0, 0.2, 1).poses(right, np.random.default_rng(2))[0][0]
    assert (rotation_distance(lost, right) > 1.0).mean() == pytest.approx(0.2, abs=0.03)


def test_images_at_several_poses_leave_less_fine_noise(posed):
    """What broad posteriors do: the noise of one image lands on many coefficients where they are far apart."""
    truth, _ = posed.truth(np.random.default_rng(0))
    nothing = posed._scheme.prepare(0 * truth)
    powers = []
    for copies in (1, 6):
        errors = _Errors(degrees=12.0, shift=0.0, outliers=0.0, copies=copies)
        half = posed._half(nothing, 300, errors, 1.0, np.random.default_rng(3))
        powers.append(radial_mean(centred_rfft(half).abs() ** 2, N))
    ratio = powers[1] / powers[0]
    assert ratio[2] > 0.5 and ratio[12:15].mean() < 0.45


def test_windowed_pairs_end_a_few_shells_beyond_the_resolution():
    pairs = GaussianPairs(truth_maker())(np.random.default_rng(3))
    flat = replace(pairs, fsc=torch.tensor([1.0, 1, 0.8, 0.3, *[0.1] * 9]).expand(2, -1))
    found = windowed(flat, np.random.default_rng(0), share=1.0)
    last = int(found.fsc[0].nonzero()[-1])
    assert not found.fsc_masked[:, last + 1 :].any() and not found.transfer[:, last + 1 :].any()
    assert 3 + 4 <= last <= 3 + 10
    power = radial_mean(centred_rfft(found.noisy[0]).abs() ** 2, 24)
    assert power[last + 1 :].max() < 1e-9 * power.max() if last < 12 else True
    assert windowed(flat, np.random.default_rng(0), share=0.0) is flat


def test_coarse_pairs_hold_nothing_finer():
    fine = PosedPairs(truth_maker())
    coarse = CoarsePairs(fine, 20.0)(np.random.default_rng(1))
    whole = fine(np.random.default_rng(1))
    last = int(24 * 5.0 / 20.0)
    for maps in (coarse.noisy, coarse.truth, coarse.target):
        power = radial_mean(centred_rfft(maps[0]).abs() ** 2, 24)
        assert power[last + 1 :].max() < 1e-9 * power.max()
    assert torch.equal(coarse.fsc[:, : last + 1], whole.fsc[:, : last + 1]) and not coarse.fsc[:, last + 1 :].any()
    assert not coarse.fsc_masked[:, last + 1 :].any() and not coarse.transfer[:, last + 1 :].any()


def test_true_maps_are_structures_turned(posed):
    """A map in another orientation is the map of turned atoms: its moments say which way it lies."""
    truth, structure = posed.truth(np.random.default_rng(4))
    assert structure.name in corpus().names
    # Grey scales are continuous, the map is anywhere up to two voxels from the middle, none is empty.
    axis = torch.arange(N) - N // 2
    centre = [float((truth.sum([d for d in range(3) if d != a]) * axis).sum() / truth.sum()) for a in range(3)]
    assert max(map(abs, centre)) < 2.5 and truth.std() > 0
    whole = potential_of(list(corpus()[0].elements), N, PIXEL)
    assert float(whole.sum()) > 0


class TestStreams:
    def test_batches_are_told_by_seed_and_number(self):
        makers = [GaussianPairs(truth_maker())]
        stream, same = (PairStream(makers, [1], 4, seed=7) for _ in range(2))
        assert torch.equal(stream[3].noisy, same[3].noisy) and len(stream[3]) == 4
        assert not torch.equal(stream[3].noisy, stream[4].noisy)
        assert not torch.equal(stream[3].noisy, PairStream(makers, [1], 4, seed=8)[3].noisy)

    def test_makers_are_asked_by_their_shares(self):
        makers = [GaussianPairs(truth_maker()), None]
        assert {len(PairStream(makers, [1, 0], 2)[i]) for i in range(3)} == {2}
        with pytest.raises(TypeError):
            PairStream(makers, [0, 1], 2)[0]

    @pytest.mark.parametrize(
        ("batch", "shares", "message"),
        [
            (3, [1], "batch is 3"),
            (0, [1], "batch is 0"),
            (2, [1, 1], "shares"),
            (2, [0], "shares"),
            (2, [-1], "shares"),
        ],
    )
    def test_what_does_not_suit_is_refused(self, batch, shares, message):
        with pytest.raises(InputError, match=message):
            PairStream([GaussianPairs(truth_maker())], shares, batch)

    def test_held_out_pairs_are_always_the_same(self):
        told = []
        one = held_out_pairs([GaussianPairs(truth_maker())], 2, callback=told.append)
        assert torch.equal(one.noisy, held_out_pairs([GaussianPairs(truth_maker())], 2).noisy)
        assert len(one) == 4 and told == [1, 1]


def test_a_box_that_nothing_fits_is_refused():
    with pytest.raises(InputError, match="none of 3 structures fits a box of 24 Å"):
        truth_maker(8, 3.0)
