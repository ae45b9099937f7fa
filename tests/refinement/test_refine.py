"""Whole refinements of small simulated sets: right, repeatable, resumable, honest about what they are not."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cryoinv.errors import InputError
from cryoinv.geometry import Poses
from cryoinv.io import OpticsGroup, ParticleStack
from cryoinv.metrics import fourier_shell_correlation, pose_errors
from cryoinv.operators import low_pass
from cryoinv.priors import GaussianPrior, Prior
from cryoinv.refinement import Refinement, RefinementObserver, RefinementSettings, refine
from cryoinv.refinement.fingerprint import different_parts
from cryoinv.refinement.gold_standard import HalfMaps
from cryoinv.refinement.schedule import Schedule
from cryoinv.simulation import demo_structure, potential_map, simulate_particles

N, PIXEL = 24, 6.0
QUICK = RefinementSettings(max_shift=6.0, orientation_order=1, max_iterations=4, initial_lowpass=40.0)


def simulated(count=120, snr=1.0, ctf=None, n=N, **more):
    volume = potential_map(demo_structure(), n, PIXEL)
    data = simulate_particles(volume, PIXEL, count, snr, seed=3, max_shift=5.0, ctf=ctf)
    images = data.images(np.arange(count))
    if ctf is not None:
        optics = OpticsGroup("one", PIXEL, ctf.voltage, ctf.spherical_aberration, ctf.amplitude_contrast)
        more |= {"defocus": data.defocus, "optics": [optics]}
    stack = ParticleStack.from_arrays(images, PIXEL, **more)
    return stack, torch.as_tensor(np.array(data.volume)), data.poses


@pytest.fixture(scope="module")
def problem():
    return simulated()


def reference(truth):
    return low_pass(truth, PIXEL, 40.0)


@pytest.fixture(scope="module")
def result(problem):
    particles, truth, _ = problem
    return refine(particles, reference(truth), settings=QUICK, device="cpu")


def test_poses_and_map_come_back(problem, result):
    _, truth, poses = problem
    errors = pose_errors(result.poses, poses)
    assert np.median(errors.angle_degrees) < 10
    assert not errors.mirrored
    assert np.median(errors.shift_angstrom) < 2.5
    assert float(fourier_shell_correlation(result.map, truth)[1:6].min()) > 0.85
    gain = float((result.map * truth).sum() / (truth**2).sum())
    assert 0.8 < gain < 1.1
    assert len(result.history) >= 2 and np.isfinite([h["log_likelihood"] for h in result.history]).all()


def test_same_seed_same_result(problem, result):
    particles, truth, _ = problem
    again = refine(particles, reference(truth), settings=QUICK, device="cpu")
    assert torch.equal(again.map, result.map)
    np.testing.assert_array_equal(again.poses.rotations, result.poses.rotations)


def test_grey_scale_and_contrast_of_the_reference_do_not_matter(problem, result):
    particles, truth, _ = problem
    other = refine(particles, -50.0 * reference(truth) + 3.0, settings=QUICK, device="cpu")
    fsc = fourier_shell_correlation(other.map, result.map)
    assert float(fsc[1:6].min()) > 0.95
    assert float((other.map * truth).sum()) > 0


def test_interrupted_and_resumed_gives_the_same_map(problem, result, tmp_path):
    particles, truth, _ = problem

    class Interrupt(RefinementObserver):
        def iteration(self, record):
            if record["iteration"] == 2:
                raise KeyboardInterrupt

    path = tmp_path / "checkpoint.npz"
    with pytest.raises(KeyboardInterrupt):
        refine(particles, reference(truth), settings=QUICK, device="cpu", checkpoint=path, observer=Interrupt())
    resumed = refine(particles, reference(truth), settings=QUICK, device="cpu", checkpoint=path, resume=True)
    torch.testing.assert_close(resumed.map, result.map)
    assert [h["iteration"] for h in resumed.history] == [h["iteration"] for h in result.history]


def test_half_sets_of_the_file_are_kept(problem):
    particles, truth, _ = problem
    subset = np.where(np.arange(120) < 50, 1, 2)
    stack = ParticleStack.from_arrays(particles.images(), PIXEL, random_subset=subset)
    run = Refinement(stack, reference(truth), settings=QUICK, device="cpu")
    np.testing.assert_array_equal(run.halves, subset)


def test_a_checkpoint_is_for_the_same_half_sets_and_prior(problem):
    particles, truth, _ = problem
    subset = np.where(np.arange(120) < 50, 1, 2)
    other = ParticleStack.from_arrays(particles.images(), PIXEL, random_subset=subset)
    runs = [(particles, None), (other, None), (particles, GaussianPrior(2.0))]
    one, *others = (Refinement(p, truth, prior, settings=QUICK, device="cpu").fingerprint for p, prior in runs)
    assert [different_parts(one, other) for other in others] == [["half-sets"], ["prior", "prior of the output"]]


def test_halves_do_not_see_each_other(problem):
    """Other images in half 2 leave half 1's unregularised map of the first iteration as it was."""
    particles, truth, _ = problem
    subset = np.where(np.arange(120) % 2 == 0, 1, 2)
    images = particles.images()
    changed = images.copy()
    changed[subset == 2] = np.random.default_rng(0).normal(size=changed[subset == 2].shape)
    maps, state = [], None
    for pictures in (images, changed):
        stack = ParticleStack.from_arrays(pictures, PIXEL, random_subset=subset)
        run = Refinement(stack, reference(truth), settings=QUICK, device="cpu")
        state = run.start() if state is None else state
        halves = run.passes.expectation(state, run._search(state), state.window, None)
        maps.append(halves[0].to_volume(halves[0].unregularised()))
    assert torch.equal(*maps)


def test_halves_see_of_each_other_radial_quantities_only(problem, monkeypatch):
    """Whole iterations, global and local, with other images in half 2: told the first run's FSC, noise power, schedule
    and window, half 1 goes the very same way, as far as no shells are joined."""
    particles, truth, _ = problem
    images = particles.images(np.arange(40))
    subset = np.where(np.arange(40) % 2 == 0, 1, 2)
    changed = images.copy()
    changed[subset == 2] = np.random.default_rng(0).normal(size=changed[subset == 2].shape)
    curves, ordinary = [], HalfMaps.of
    first, second = (
        Refinement(
            ParticleStack.from_arrays(pictures, PIXEL, random_subset=subset), reference(truth), device="cpu",
            settings=replace(QUICK, join_below=0.0),
        )
        for pictures in (images, changed)
    )

    def noted(*arguments):
        maps = ordinary(*arguments)
        curves.append((maps.fsc, maps.fsc_masked))
        return maps

    def told(*arguments):
        return HalfMaps(ordinary(*arguments).volumes, *curves[-1])

    mine = other = first.start()
    for stage in range(3):
        mine, other = (replace(state, schedule=Schedule(stage)) for state in (mine, other))
        monkeypatch.setattr(HalfMaps, "of", noted)
        mine = first.iterate(mine)
        monkeypatch.setattr(HalfMaps, "of", told)
        other = replace(second.iterate(other), noise=mine.noise, window=mine.window)
        assert torch.equal(mine.references[0], other.references[0])
        assert not torch.equal(mine.references[1], other.references[1])
    np.testing.assert_array_equal(
        *(state.moments.poses.rotations[subset == 1] for state in (mine, other)), strict=True
    )


@pytest.mark.parametrize("kind", ["unmasked", "masked"])
def test_noise_power_comes_from_unmasked_residuals_unless_relions_rule_is_asked_for(problem, kind):
    particles, truth, _ = problem
    settings = RefinementSettings(
        max_shift=6.0, orientation_order=1, max_iterations=2, initial_lowpass=40.0, particle_diameter=60.0,
        mask_edge_pixels=2.0, noise_estimation=kind,
    )
    power = refine(particles, reference(truth), settings=settings, device="cpu").noise.sigma2[0, 5:9].mean()
    assert (0.9 < power < 1.1) if kind == "unmasked" else (power < 0.6)


def test_ctf_is_applied_when_it_is_there():
    from cryoinv.simulation import CtfDistribution

    particles, truth, poses = simulated(ctf=CtfDistribution(), snr=2.0)
    with_ctf = refine(particles, reference(truth), settings=QUICK, device="cpu")
    without = refine(
        particles, reference(truth), device="cpu",
        settings=RefinementSettings(**{**vars(QUICK), "use_ctf": False}),
    )
    fsc = [float(fourier_shell_correlation(r.map, truth)[2:7].mean()) for r in (with_ctf, without)]
    assert fsc[0] > fsc[1] + 0.01
    assert np.median(pose_errors(with_ctf.poses, poses).angle_degrees) < 15


def test_odd_box():
    particles, truth, poses = simulated(n=25, count=80)
    found = refine(particles, reference(truth), settings=QUICK, device="cpu")
    assert np.median(pose_errors(found.poses, poses).angle_degrees) < 12


def test_grid_coarser_than_the_posterior_is_said(problem, caplog):
    particles, truth, _ = problem
    settings = RefinementSettings(max_shift=6.0, orientation_order=0, max_iterations=1, initial_lowpass=40.0)
    found = refine(particles, reference(truth), settings=settings, device="cpu")
    assert any("coarser than the posterior" in text for text in found.warnings)
    assert any("without convergence" in text for text in found.warnings)
    assert "coarser than the posterior" in caplog.text


def test_what_does_not_fit_is_refused(problem):
    particles, truth, _ = problem

    class Useless(Prior):
        pass

    for bad, message in (
        (truth[:10, :10, :10], "shape"), (truth * float("nan"), "NaN"), (0 * truth + 1, "constant"),
    ):
        with pytest.raises(InputError, match=message):
            refine(particles, bad, device="cpu")
    with pytest.raises(InputError, match="precision"):
        refine(particles, truth, prior=Useless(), device="cpu")
    with pytest.raises(InputError, match="larger than the box"):
        refine(particles, truth, settings=RefinementSettings(particle_diameter=1e3), device="cpu")
    with pytest.raises(InputError, match="point group"):
        refine(particles, truth, settings=RefinementSettings(symmetry="X9"), device="cpu")


def test_a_third_party_prior_plugs_in(problem):
    particles, truth, _ = problem

    class Stiffer(GaussianPrior):
        name = "stiffer"

        def bind(self, statistics, context):
            bound = super().bind(statistics, context)
            bound.precision *= 4
            return bound

    found = refine(particles, reference(truth), prior=Stiffer(), settings=QUICK, device="cpu")
    assert torch.isfinite(found.map).all()
    assert len(found.poses) == len(particles) and isinstance(found.poses, Poses)
