"""The steps of a refinement, each against what it must give."""

import logging

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from cryoinv.errors import InputError
from cryoinv.geometry import PointGroup, Poses
from cryoinv.likelihood import FourierImages, PoseMoments, initial_noise, known_pose_statistics
from cryoinv.metrics import fourier_shell_correlation
from cryoinv.noise import RadialGaussianNoise
from cryoinv.operators import low_pass
from cryoinv.operators.interpolation import TrilinearInterpolation
from cryoinv.operators.mask import soft_sphere
from cryoinv.refinement import RefinementSettings
from cryoinv.refinement.gold_standard import HalfMaps, join_low_resolution, tau2_from_fsc
from cryoinv.refinement.halves import split_halves
from cryoinv.refinement.reference import estimate_diameter, fit_grey_scale
from cryoinv.refinement.schedule import Schedule, pose_changes
from cryoinv.refinement.state import RefinementState
from cryoinv.spaces.spectrum import centred_irfft, centred_rfft, radial_expand, radial_mean

from ..likelihood.problems import ArrayParticles, random_volume, simulate

N = 16


def known(seed, count=40, variance=1.0):
    images, rotations = simulate(random_volume(N), count, variance, seed=seed)
    fourier = FourierImages(ArrayParticles(images, pixel_size=3.0))
    noise = RadialGaussianNoise.white(max(variance, 1e-3), N // 2 + 1)
    return known_pose_statistics(fourier, noise, Poses(rotations), TrilinearInterpolation(N))


def test_halves_come_from_the_file_or_are_even():
    np.testing.assert_array_equal(split_halves(3, np.array([1, 2, 1])), [1, 2, 1])
    with pytest.raises(InputError, match=r"half-sets have shape \(2,\), expected \(3,\)"):
        split_halves(3, np.array([1, 2]))
    assert sorted(np.bincount(split_halves(11))[1:]) == [5, 6]
    np.testing.assert_array_equal(split_halves(50, seed=3), split_halves(50, seed=3))
    assert (split_halves(50, seed=3) != split_halves(50, seed=4)).any()


@pytest.mark.parametrize("given", [[1, 1, 1], [0, 1, 2], [3, 1, 2]])
def test_halves_that_are_none_are_refused(given):
    with pytest.raises(InputError, match="half-set|rlnRandomSubset"):
        split_halves(3, np.array(given))


def test_a_single_particle_cannot_be_split():
    with pytest.raises(InputError, match="half-set 2 is empty"):
        split_halves(1)


def test_tau2_follows_equation_12():
    statistics = known(0)
    fsc = torch.linspace(1, -0.2, N // 2 + 1)
    clipped = fsc.double().clamp(0.001, 0.999)
    mean = statistics.shell_mean(statistics.weight)
    filled = mean > 0
    tau2 = tau2_from_fsc(fsc, statistics)
    torch.testing.assert_close(tau2[filled], (clipped / (1 - clipped) / mean)[filled])
    assert (tau2 > 0).all() and torch.isfinite(tau2).all()


def test_joining_averages_low_shells_and_leaves_the_rest():
    first, second = known(0), known(1)
    joined, _ = join_low_resolution((first, second), N * 3.0 / 3)  # shells 0 to 3
    low = first.expand(torch.arange(N // 2 + 1) <= 3)
    for name in ("data", "weight"):
        a, b = getattr(first, name), getattr(second, name)
        for half, own in zip(joined, (a, b), strict=True):
            got = getattr(half, name)
            torch.testing.assert_close(got[low], ((a + b) / 2)[low])
            torch.testing.assert_close(got[~low], own[~low])
    assert join_low_resolution((first, second), 0.0) == ((first, second), None)


def test_half_maps_of_the_same_object_agree_and_of_noise_do_not():
    mask = torch.ones(N, N, N)
    same = HalfMaps.of((known(0, 200, 0.01), known(1, 200, 0.01)), mask)
    assert float(same.fsc[1:6].min()) > 0.95
    assert same.resolution(3.0).angstrom < 9
    noise = HalfMaps.of((known(0, 20, 1e6), known(1, 20, 1e6)), mask)
    assert float(noise.fsc[3:].abs().max()) < 0.5


def test_low_pass_keeps_low_and_removes_high_shells():
    volume = torch.randn(N, N, N)
    passed = low_pass(volume, 3.0, 12.0)  # shell 4
    before, after = (
        radial_mean(centred_rfft(volume).abs() ** 2, N),
        radial_mean(centred_rfft(passed).abs() ** 2, N),
    )
    torch.testing.assert_close(after[:3], before[:3])
    assert float(after[6:].max()) < 1e-9
    assert 0.1 < float(after[4] / before[4]) < 0.5


@pytest.mark.parametrize("blur", [15.0, 30.0, 45.0])
def test_diameter_of_a_ball_is_found_whatever_it_was_low_passed_to(blur):
    axis = torch.arange(64.0) - 32
    ball = ((axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2).sqrt() < 13).float()
    assert estimate_diameter(low_pass(ball, 2.0, blur), 2.0, blur) == pytest.approx(26 * 2, rel=0.1)


def test_the_power_of_a_confined_signal_gives_the_better_filter_where_it_is():
    statistics, generator = known(0), torch.Generator().manual_seed(0)
    mask = soft_sphere(N, 3, 2.0, dtype=torch.float64)
    draw = lambda: torch.randn(N, N, N, dtype=torch.float64, generator=generator)  # noqa: E731
    shell_weight = statistics.shell_mean(statistics.weight)

    def errors():
        signal = mask * low_pass(draw(), 1.0, 4.0)
        first, second = (signal + 0.3 * draw() for _ in range(2))
        fsc = fourier_shell_correlation(first, second)
        for filled in (float((mask**2).mean()), 1.0):
            ratio = tau2_from_fsc(fsc, statistics, filled) * shell_weight
            gain = radial_expand(ratio / (1 + ratio), N, 3, outside=0.0)
            yield float(((mask * centred_irfft(centred_rfft(first) * gain, N) - signal) ** 2).sum())

    confined, spread = np.mean([list(errors()) for _ in range(20)], axis=0)
    assert confined < 0.8 * spread


@pytest.mark.parametrize("factor", [1.0, 25.0, 0.02, -3.0])
def test_grey_scale_of_an_arbitrary_reference_is_found(factor, caplog):
    volume = random_volume(N)
    images, _ = simulate(volume, 60, 0.05, seed=2)
    fourier = FourierImages(ArrayParticles(images))
    noise = RadialGaussianNoise.white(0.05, N // 2 + 1)
    with caplog.at_level(logging.WARNING):
        scale = fit_grey_scale(
            (volume / factor).float(), fourier, noise, TrilinearInterpolation(N), 5.0, PointGroup("C1"), 0.0
        )
    assert scale.factor == pytest.approx(factor, rel=0.15)
    assert scale.gain > 1 and "no better than" not in caplog.text
    assert ("contrast is opposite" in caplog.text) == (factor < 0)


@pytest.mark.parametrize("contrast", [1.0, 0.15])
def test_grey_scale_is_found_from_images_of_mean_zero_and_of_weak_contrast(contrast):
    volume = random_volume(N)
    images = contrast * simulate(volume, 60, 0.0, seed=2)[0] + np.random.default_rng(0).normal(0, 0.03, (60, N, N))
    fourier = FourierImages(ArrayParticles(images - images.mean((1, 2), keepdims=True)))
    fourier.ctf = lambda indices, count: torch.full((len(indices), count), contrast)
    scale = fit_grey_scale(
        volume.float(), fourier, initial_noise(fourier), TrilinearInterpolation(N), 5.0, PointGroup("C1"), 0.0
    )
    assert scale.factor == pytest.approx(1, rel=0.15)


def test_symmetry_mates_are_no_change_of_pose():
    group, rotations = PointGroup("D2"), Rotation.random(4, random_state=0).as_matrix()
    before, after = Poses(rotations), Poses(rotations @ group.matrices)
    assert pose_changes(before, after, group).max() < 1e-3 < pose_changes(before, after, PointGroup("C1")).max()


def changes(mean, far=0.0):
    """Of 100 particles, a share turned by 90 degrees and the others so that the mean is as given."""
    turned = round(100 * far)
    return np.r_[np.full(turned, 90.0), np.full(100 - turned, (100 * mean - 90.0 * turned) / (100 - turned))]


def test_schedule_goes_local_when_nothing_gains_and_ends_when_poses_rest():
    settings, schedule = RefinementSettings(), Schedule()
    for stage in (0, 1):
        schedule.advance(settings, 5, changes(100, 0.9), 20)
        schedule.advance(settings, 5.2, changes(40, 0.3), 10)
        assert schedule.stage == stage  # the poses still settle
        schedule.advance(settings, 5.2, changes(39, 0.3), 10)
        assert schedule.stage == stage + 1
    schedule.advance(settings, 8, changes(0.1), 2)
    assert not schedule.converged  # the resolution improved
    schedule.advance(settings, 8.2, changes(3), 2)
    assert schedule.converged  # poses do not settle any more
    schedule.converged, schedule.smallest_change = False, 3.0
    schedule.advance(settings, 8.2, changes(1.5), 2)
    assert not schedule.converged  # they settle, but move as far as they are uncertain
    schedule.advance(settings, 8.2, changes(0.6), 2)
    assert schedule.converged


def test_gains_of_less_than_a_shell_add_up():
    settings, schedule = RefinementSettings(), Schedule(2)
    for shell, change in ((10, 3.0), (10.6, 2.0), (11.2, 1.9)):
        schedule.advance(settings, shell, changes(change), 2)
        assert not schedule.converged
    assert schedule.best_shell == 11.2


def test_poses_may_settle_anew_after_a_gain_in_resolution():
    settings, schedule = RefinementSettings(), Schedule(2)
    for shell, change in ((10, 1.0), (14, 3.0), (14.9, 2.0)):
        schedule.advance(settings, shell, changes(change), 2)
        assert not schedule.converged
    schedule.advance(settings, 14.9, changes(2.0), 2)
    assert schedule.converged


def test_global_search_is_oversampled_once_posteriors_are_narrow_for_its_grid():
    settings, schedule, poses = RefinementSettings(), Schedule(), Poses(np.eye(3)[None])
    moments = PoseMoments.isotropic(poses, 20.0, 3.0)
    assert schedule.search(settings, moments, 3.0).oversampling is None
    schedule.advance(settings, 5, changes(100, 0.9), 12)
    assert schedule.stage == 0
    schedule.advance(settings, 7, changes(50, 0.4), 8)
    assert schedule.stage == 1
    assert schedule.search(settings, moments, 3.0).oversampling.significance == settings.significance


def test_global_search_ends_when_hardly_a_particle_turns_by_more_than_its_step():
    settings, schedule = RefinementSettings(), Schedule(1)
    schedule.advance(settings, 5, changes(100, 0.9), 20)
    schedule.advance(settings, 8, changes(6.0, 0.06), 5)
    assert schedule.stage == 1
    schedule.advance(settings, 10, changes(5.0, 0.04), 5)
    assert schedule.stage == 2


def test_schedule_does_not_stay_in_global_search_for_ever():
    settings, schedule = RefinementSettings(global_iterations=3), Schedule()
    for stage in (0, 1):
        for i in range(3):
            assert schedule.stage == stage
            schedule.advance(settings, 5 + 2 * i, changes(100 / 2**i, 0.2), 12)
    assert schedule.stage == 2


def test_local_search_is_as_wide_as_the_posterior_but_no_wider_than_the_global_grid():
    poses = Poses(Rotation.random(3, random_state=0).as_matrix())
    moments = PoseMoments.isotropic(poses, [0.5, 3.0, 50.0], [0.3, 1.2, 30.0])
    search = Schedule(2).search(RefinementSettings(), moments, 3.0)
    np.testing.assert_allclose(search.rotation_cells[:, 0, 0], 1.5 * np.array([0.5, 3.0, 7.5]))
    np.testing.assert_allclose(search.shift_cells[:, 1, 1], 1.5 * np.array([0.1, 0.4, 1.0]))


def test_a_checkpoint_comes_back_as_it_was_and_only_for_the_same_run(tmp_path):
    poses = Poses(Rotation.random(3, random_state=0).as_matrix(), np.arange(6.0).reshape(3, 2))
    state = RefinementState(
        (torch.randn(4, 4, 4), torch.randn(4, 4, 4)),
        RadialGaussianNoise.white(2.0, 3),
        PoseMoments.isotropic(poses, np.arange(3.0), np.arange(3.0) / 2),
        Schedule(1, 5.0, 2.0, 3),
        12.5,
        4,
        [{"iteration": 1}],
        50.0,
        7.0,
    )
    path = tmp_path / "checkpoint.npz"
    state.save(path, {"particles": "abc"})
    back = RefinementState.load(path, {"particles": "abc"})
    for a, b in zip(state.references, back.references, strict=True):
        torch.testing.assert_close(a, b)
    np.testing.assert_array_equal(back.moments.poses.rotations, poses.rotations)
    np.testing.assert_array_equal(back.moments.poses.shifts, poses.shifts)
    np.testing.assert_array_equal(back.moments.rotation_covariance, state.moments.rotation_covariance)
    np.testing.assert_array_equal(back.moments.shift_covariance, state.moments.shift_covariance)
    assert (back.schedule, back.window, back.iteration, back.history) == (
        state.schedule,
        12.5,
        4,
        [{"iteration": 1}],
    )
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.npz"]
    with pytest.raises(InputError, match="differs in particles;"):
        RefinementState.load(path, {"particles": "abd"})
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="not a readable checkpoint"):
        RefinementState.load(path, {"particles": "abc"})


def test_a_reference_of_something_else_is_said(caplog):
    images = np.random.default_rng(0).normal(size=(40, N, N))
    with caplog.at_level(logging.WARNING):
        scale = fit_grey_scale(
            random_volume(N).float() * 10, FourierImages(ArrayParticles(images)),
            RadialGaussianNoise.white(1.0, N // 2 + 1), TrilinearInterpolation(N), 5.0, PointGroup("C1"), 0.0,
        )
    assert scale.gain < 0.1 and "no better than no signal" in caplog.text


@pytest.mark.parametrize("name", ["local_step", "local_reach"])
def test_a_local_lattice_of_no_size_is_refused(name):
    with pytest.raises(InputError, match=f"{name} is 0"):
        RefinementSettings(**{name: 0.0})
