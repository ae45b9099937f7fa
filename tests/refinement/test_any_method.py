"""Any prior, M-step and outer solver in the refinement, and what is said of those that fail."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from cryoinv.denoisers import Denoiser, Wiener
from cryoinv.errors import CryoinvError, InputError
from cryoinv.io import ParticleStack
from cryoinv.metrics import fourier_shell_correlation, pose_errors
from cryoinv.operators import soft_sphere
from cryoinv.priors import (
    RED,
    BlushStyle,
    BoundPrior,
    GaussianPrior,
    PlugAndPlay,
    Prior,
    TotalVariationPrior,
    VolumePrior,
)
from cryoinv.refinement import Refinement, RefinementObserver, reconstruct, refine
from cryoinv.refinement.estimate import MapEstimator
from cryoinv.refinement.gold_standard import HalfMaps, of_both
from cryoinv.solvers import EM, SGD, Adam, ClosedForm, KGradient, MStep

from .test_refine import QUICK, problem, reference, simulated  # noqa: F401

SHORT = replace(QUICK, max_iterations=2)


def run(problem, prior=None, m_step=None, settings=SHORT, **more):  # noqa: F811
    particles, truth, _ = problem
    return refine(particles, reference(truth), prior, m_step, settings, "cpu", **more)


class Touched(GaussianPrior):
    """A Gaussian whose map is touched after the M-step."""

    def __init__(self, touch):
        super().__init__()
        self.touch = touch

    def bind(self, statistics, context):
        bound = super().bind(statistics, context)
        bound.post_process = lambda volume: self.touch(volume, context)
        return bound


class OddShape(MStep):
    def __call__(self, statistics, prior, callback=None, previous=None):
        return statistics.data[1:]


class Broken(VolumePrior):
    has_value = has_gradient = True

    def value(self, volume, context):
        raise ZeroDivisionError("one over nothing")


@pytest.mark.parametrize(
    ("prior", "m_step", "words"),
    [
        (Touched(lambda v, c: v * torch.nan), None, ["iteration 1, half 1", "Touched", "not finite"]),
        (Touched(lambda v, c: v[:-1]), None, ["iteration 1, half 1", "Touched", "(23, 24, 24), expected (24, 24, 24)"]),
        (Touched(lambda v, c: 50 * v), None, ["iteration 1, half 1", "Touched", "times the grey scale of the data"]),
        (Touched(lambda v, c: -v), None, ["iteration 1, half 1", "grey scale"]),
        (Touched(lambda v, c: v / 50 if c.iteration == 2 else v), None, ["iteration 2, half 1", "grey scale"]),
        (Touched(lambda v, c: v * torch.nan if c.iteration == 3 else v), None, ["final iteration, both halves"]),
        (GaussianPrior(), OddShape(), ["iteration 1, half 1", "GaussianPrior()", "OddShape()", "shape (47, 48, 25)"]),
        (Broken(), None, ["iteration 1, half 1", "Broken()", "ZeroDivisionError", "one over nothing"]),
    ],
)
def test_a_prior_that_fails_is_named_with_iteration_and_half(problem, prior, m_step, words):  # noqa: F811
    with pytest.raises(CryoinvError) as error:
        run(problem, prior, m_step)
    for word in words:
        assert word in str(error.value)


class WrongGradient(VolumePrior):
    has_value = has_gradient = True

    def __init__(self, wrong):
        self.wrong = wrong

    def value(self, volume, context):
        return self.wrong((volume**2).sum())


@pytest.mark.parametrize(
    ("prior", "words"),
    [
        (Touched(lambda v, c: v * torch.nan if c.iteration == 1 else v), ["half 1", "Touched", "not finite"]),
        (Touched(lambda v, c: v[1:] if c.iteration == 1 else v), ["half 1", "Touched", "shape (23, 24, 24)"]),
        (WrongGradient(lambda v: v * torch.nan), ["half 1", "WrongGradient", "not a finite number"]),
        (WrongGradient(lambda v: v / 0 * [1]), ["half 1", "WrongGradient", "Adam(batches=3) failed"]),
    ],
)
def test_so_is_one_that_fails_between_mini_batches(problem, prior, words, monkeypatch):  # noqa: F811
    """In the second iteration, the first with mini-batches, whose context is that of the first."""
    monkeypatch.setattr(MapEstimator, "_volume", staticmethod(lambda s, bound, x: s.to_volume(x)))
    if isinstance(prior, WrongGradient):
        monkeypatch.setattr(MapEstimator, "__call__", lambda self, s, c, previous=None: s.to_volume(s.unregularised()))
    with pytest.raises(CryoinvError) as error:
        run(problem, prior, solver=Adam(batches=3))
    for word in ["iteration 2", *words]:
        assert word in str(error.value)


class TrainableDenoiser(Denoiser):
    def __init__(self):
        self.layer = torch.nn.Conv3d(1, 1, 1, bias=False)
        torch.nn.init.ones_(self.layer.weight)

    def denoise(self, volume, context):
        return Wiener().denoise(self.layer(volume[None])[0], context)


@pytest.mark.parametrize("kind", [partial(BlushStyle, acts_on="map"), partial(RED, guard=True), PlugAndPlay], ids=str)
def test_a_denoiser_with_weights_that_ask_for_gradients_is_no_trouble(problem, kind, tmp_path):  # noqa: F811
    prior = kind(TrainableDenoiser())
    for solver in (EM(), KGradient(batches=2)):
        if not isinstance(prior, PlugAndPlay) or isinstance(solver, EM):
            result = run(problem, prior, solver=solver, checkpoint=tmp_path / "checkpoint.npz")
            assert not result.map.requires_grad


def test_what_does_not_fit_is_refused_before_anything_runs(problem):  # noqa: F811
    particles, truth, _ = problem

    class ProximalOnly(Prior):
        has_proximal = True

    with pytest.raises(InputError, match=r"ClosedForm needs .*precision; .*ProximalOnly"):
        Refinement(particles, truth, ProximalOnly(), ClosedForm(), device="cpu")
    with pytest.raises(InputError, match=r"solver Adam needs a prior with gradient; .*ProximalOnly.*proximal"):
        Refinement(particles, truth, ProximalOnly(), solver=Adam(), device="cpu")
    with pytest.raises(InputError, match=r"no M-step takes .*Prior\(\), which offers nothing"):
        Refinement(particles, truth, output_prior=Prior(), device="cpu")
    with pytest.raises(InputError, match=r"output M-step, ClosedForm\(\), goes with an output prior"):
        Refinement(particles, truth, output_m_step=ClosedForm(), device="cpu")
    with pytest.raises(InputError, match=r"solver Adam finds a map that BlushStyle\(\) then forgets"):
        Refinement(particles, truth, BlushStyle(), solver=Adam(), device="cpu")


@pytest.mark.parametrize("solver", [KGradient(batches=4), Adam(batches=8), SGD(batches=8)], ids=repr)
def test_mini_batches_reach_a_map_as_em_does(problem, solver):  # noqa: F811
    particles, truth, poses = problem
    result = run(problem, solver=solver, settings=replace(QUICK, max_iterations=5))
    assert np.median(pose_errors(result.poses, poses).angle_degrees) < 10
    assert float(fourier_shell_correlation(result.map, truth)[1:6].min()) > 0.85
    assert len(result.poses) == len(particles)


def test_mini_batches_are_resumed_to_the_same_map(problem, tmp_path):  # noqa: F811
    settings = replace(QUICK, max_iterations=3)
    whole = run(problem, solver=Adam(batches=3), settings=settings)

    class Interrupt(RefinementObserver):
        def iteration(self, record):
            if record["iteration"] == 2:
                raise KeyboardInterrupt

    path = tmp_path / "checkpoint.npz"
    with pytest.raises(KeyboardInterrupt):
        run(problem, solver=Adam(batches=3), settings=settings, checkpoint=path, observer=Interrupt())
    resumed = run(problem, solver=Adam(batches=3), settings=settings, checkpoint=path, resume=True)
    assert torch.equal(resumed.map, whole.map)
    with pytest.raises(InputError, match="differs in solver"):
        run(problem, settings=settings, checkpoint=path, resume=True)


def test_one_whole_batch_of_a_full_k_step_is_em(problem):  # noqa: F811
    """But for the signal power, which is that of the iteration before."""
    em = run(problem)
    step = run(problem, solver=KGradient(step=1.0, batches=1, decay=0))
    assert float(fourier_shell_correlation(em.map, step.map)[1:6].min()) > 0.98


def test_the_output_may_be_of_another_prior(problem):  # noqa: F811
    plain = run(problem)
    other = run(problem, output_prior=GaussianPrior(0.25))
    assert torch.equal(plain.half_maps[0], other.half_maps[0])
    np.testing.assert_array_equal(plain.poses.rotations, other.poses.rotations)
    assert float(other.map.norm()) < 0.99 * float(plain.map.norm())


class Guarded(GaussianPrior):
    """Tells what it is told, and claims a denoised map of its own."""

    guarded = True

    def __init__(self, denoised, told):
        super().__init__()
        self.denoised, self.told = denoised, told

    def bind(self, statistics, context):
        bound = super().bind(statistics, context)
        bound.denoised = lambda: self.denoised(statistics.to_volume(statistics.unregularised()))
        self.told.append(context.trust)
        return bound


def test_the_guard_trusts_a_radial_filter_and_not_one_that_writes_the_same_in_both_halves(problem, monkeypatch):  # noqa: F811
    _, truth, _ = problem
    curves, ordinary = [], HalfMaps.of
    monkeypatch.setattr(HalfMaps, "of", lambda *a, **k: curves.append(ordinary(*a, **k)) or curves[-1])
    settings = replace(SHORT, max_iterations=1)
    for denoised, expected in ((lambda v: v, 1.0), (lambda v: truth, None)):
        told = []
        run(problem, Guarded(denoised, told), settings=settings)
        assert told[0] is None and told[1] is None  # the guard's own look at the halves
        first, final = told[2], told[-1]
        assert first.shape == final.shape == truth.shape[:1] // np.array(2) + 1
        if expected is not None:
            torch.testing.assert_close(first, torch.full_like(first, expected), atol=0.02, rtol=0)
        else:
            assert float(first[curves[-2].fsc_masked < 0.7].max()) < 0.5


@pytest.mark.parametrize("snr", [3.0, 1e-4])
def test_what_comes_back_of_references_is_measured_once_and_told(snr):
    """One iteration of the coarse search, one of the oversampled, one of the local."""
    stages = replace(SHORT, global_iterations=1, max_iterations=3)
    particles, truth, _ = simulated(snr=snr, count=160)
    found = run((particles, truth, None), Guarded(lambda v: v, []), settings=stages)
    before, kept, after = [row["retention_highest"] for row in found.history]
    assert before is None and after is None
    assert kept < 0.9 if snr > 1 else kept > 1.05
    assert any("came back as data" in text for text in found.warnings) == (snr < 1)
    plain = run((particles, truth, None), settings=stages)
    assert all(row["retention_highest"] is None for row in plain.history)


class Told(GaussianPrior):
    """Keeps what it is told."""

    def __init__(self, told):
        super().__init__()
        self.told = told

    def bind(self, statistics, context):
        self.told.append(context)
        return super().bind(statistics, context)


def test_priors_are_told_the_fsc_inside_the_sphere_that_of_both_halves_at_the_end(problem, monkeypatch):  # noqa: F811
    curves, ordinary, told = [], HalfMaps.of, []
    monkeypatch.setattr(HalfMaps, "of", lambda *a, **k: curves.append(ordinary(*a, **k)) or curves[-1])
    run(problem, Told(told), settings=replace(SHORT, max_iterations=1))
    assert torch.equal(told[0].fsc_masked, curves[0].fsc_masked)
    assert torch.equal(told[-1].fsc_masked, of_both(curves[-1].fsc_masked))
    assert not torch.equal(told[-1].fsc_masked, told[-1].fsc)
    particles, _, poses = problem
    given = told[-1].particle_radius
    reconstruct(particles, poses, prior=Told(told), particle_diameter=2 * given, device="cpu")
    n = told[-1].n
    sphere = soft_sphere(n, given / told[-1].pixel_size)
    expected = of_both(fourier_shell_correlation(*(sphere * each for each in curves[-1].volumes)))
    torch.testing.assert_close(told[-1].fsc_masked, expected)


def test_a_reconstruction_takes_any_prior_too(problem):  # noqa: F811
    particles, _, poses = problem
    plain = reconstruct(particles, poses, prior=GaussianPrior(), device="cpu")
    touched = reconstruct(particles, poses, prior=Touched(lambda v, c: 2 * v), device="cpu")
    torch.testing.assert_close(touched.map, 2 * plain.map)
    with pytest.raises(InputError, match="no M-step takes"):
        reconstruct(particles, poses, prior=Prior(), device="cpu")


@pytest.mark.parametrize("factor", [0.01, 100.0])
def test_a_prior_in_nats_does_not_mind_the_grey_scale_of_the_images(problem, factor):  # noqa: F811
    particles, _, poses = problem
    prior = TotalVariationPrior(strength=0.3, tolerance=1e-4)
    plain = reconstruct(particles, poses, prior=prior, device="cpu").map
    scaled = ParticleStack.from_arrays((particles.images() * factor).astype(np.float32), particles.pixel_size)
    found = reconstruct(scaled, poses, prior=prior, device="cpu").map / factor
    torch.testing.assert_close(found, plain, atol=0.02, rtol=0)


def test_a_reconstruction_asks_the_guard(problem):  # noqa: F811
    particles, truth, poses = problem
    told = []
    reconstruct(particles, poses, prior=Guarded(lambda v: truth, told), device="cpu")
    assert told[:2] == [None, None] and float(told[-1].min()) < 0.5


def test_a_bound_prior_has_no_more_than_it_says(problem):  # noqa: F811
    with pytest.raises(CryoinvError, match="no correction"):
        BoundPrior.correction(GaussianPrior(), None)
    with pytest.raises(CryoinvError, match="no denoised map"):
        BoundPrior.denoised(GaussianPrior())
