"""The learned prior: what is aligned to and what is reported, written out; and what it must be told."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cryoinv.denoisers import NetworkDenoiser, Wiener, solvent_mask, sphere_transfer
from cryoinv.errors import InputError
from cryoinv.networks import GatedUNet, write_network
from cryoinv.priors import CalibratedAmplitude, GaussianPrior, LearnedPrior, prior_from, trust_factor
from cryoinv.solvers import ClosedForm, REDUpdate

from .denoising import SCHEMES, context, statistics

CALIBRATION = {
    "resolution_ends": [10.0, 1e9],
    "fsc_ends": [0.3, 0.7, 1.0],
    "a": [[1.0, 0.5, 0.25], [1.0, 0.9, 0.8]],
    "b": [[0.0, 0.5, 1.0], [0.0, 0.1, 0.2]],
    "excess": [[0.0, 0.2, 0.1], [0.05, 0.05, 0.05]],
}


@pytest.fixture
def file(tmp_path):
    torch.manual_seed(0)
    network = GatedUNet(2, 1)
    torch.nn.init.normal_(network.last.weight, std=0.1)
    path = tmp_path / "net.safetensors"
    write_network(path, network, (2.0, 5.0), {"calibration": CALIBRATION})
    return path


def parts(scheme, denoiser):
    s, c = statistics(scheme), context(scheme.n)
    f = s.from_volume(denoiser.denoise(s.to_volume(s.unregularised()), c))
    return s, c, f, ClosedForm()(s, GaussianPrior().bind(s, c))


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_what_is_aligned_to_is_the_undamped_network_map(scheme, file):
    denoiser = NetworkDenoiser(file)
    s, c, f, mapped = parts(scheme, denoiser)
    transfer = sphere_transfer(c.fsc_inside)
    stopped = (transfer == 0).double()
    expected = s.expand((1 - stopped) / transfer.clamp(min=0.2)) * f + s.expand(stopped) * mapped
    found = REDUpdate()(s, LearnedPrior(denoiser).bind(s, c))
    torch.testing.assert_close(found, expected.to(found), atol=1e-10, rtol=1e-7)


def test_shells_that_the_filter_stops_are_those_of_the_gaussian_map(file):
    s, c = statistics(SCHEMES["pad2-even"]), context(SCHEMES["pad2-even"].n)
    c = replace(c, fsc=torch.where(torch.arange(len(c.fsc)) < 4, c.fsc, 0.0))
    found = REDUpdate()(s, LearnedPrior(NetworkDenoiser(file)).bind(s, c))
    mapped = ClosedForm()(s, GaussianPrior().bind(s, c))
    beyond = s.expand((torch.arange(len(c.fsc)) >= 4).double()) > 0
    assert torch.equal(found[beyond], mapped[beyond]) and not torch.equal(found, mapped)


@pytest.mark.parametrize("role", ["reference", "output"])
def test_the_last_touch_is_the_solvent_mask(role, file):
    scheme = SCHEMES["pad2-even"]
    s, c = statistics(scheme), context(scheme.n)
    volume = torch.ones(scheme.n, scheme.n, scheme.n, dtype=torch.float64)
    masked, bare = (LearnedPrior(NetworkDenoiser(file), masked=m, role=role).bind(s, c) for m in (True, False))
    expected = solvent_mask(s.to_volume(s.unregularised()), c).double()
    torch.testing.assert_close(masked.post_process(volume), expected, check_dtype=False)
    assert torch.equal(bare.post_process(volume), volume)


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
@pytest.mark.parametrize("trust", [1.0, 0.25, 0.0])
def test_what_is_reported_is_the_calibrated_mix(scheme, trust, file):
    denoiser = NetworkDenoiser(file)
    s, c, f, mapped = parts(scheme, denoiser)
    c = replace(c, trust=torch.full_like(c.fsc, trust))
    prior = LearnedPrior(denoiser).for_output()
    a, b = CalibratedAmplitude(CALIBRATION).gains(sphere_transfer(c.fsc_inside), c.resolution)
    mix = s.expand(a) * mapped + s.expand(b) * f
    expected = (1 - trust) * mapped + trust * mix
    found = REDUpdate()(s, prior.bind(s, c))
    torch.testing.assert_close(found, expected.to(found), atol=1e-10, rtol=1e-7)
    if trust == 0:
        assert torch.equal(found, mapped)


def test_tables_are_read_between_the_middles_of_their_bins():
    amplitude = CalibratedAmplitude(CALIBRATION)
    fsc = torch.tensor([1.0, 0.85, 0.675, 0.5, 0.325, 0.15, 0.0])
    a, b = amplitude.gains(fsc, resolution=8.0)
    middles, rows = [0.15, 0.5, 0.85], np.clip(fsc.numpy(), 0, 1)
    rows[0] = rows[1]  # the zeroth shell is as the first
    np.testing.assert_allclose(a, np.interp(rows, middles, CALIBRATION["a"][0]), atol=1e-6)
    np.testing.assert_allclose(b, np.interp(rows, middles, CALIBRATION["b"][0]), atol=1e-6)
    coarse, _ = amplitude.gains(fsc, resolution=12.0)
    np.testing.assert_allclose(coarse, np.interp(rows, middles, CALIBRATION["a"][1]), atol=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        {"a": None},
        {"a": [[1.0]]},
        {"b": [[float("nan")] * 3] * 2},
        {"fsc_ends": [0.7, 0.3, 1.0]},
        {"resolution_ends": 3.0},
        {"resolution_ends": ["a", "b"]},
    ],
)
def test_tables_that_do_not_fit_are_refused(change):
    with pytest.raises(InputError, match="calibration"):
        CalibratedAmplitude({k: v for k, v in (CALIBRATION | change).items() if v is not None})


def test_what_held_out_maps_showed_is_no_inflation(file):
    prior, c = LearnedPrior(NetworkDenoiser(file)), context(16)
    expected = prior.expected_excess(c)
    rows = sphere_transfer(c.fsc_inside)
    row = CALIBRATION["excess"][0 if c.resolution <= 10 else 1]
    np.testing.assert_allclose(expected, np.interp(rows, [0.15, 0.5, 0.85], row), atol=1e-6)
    plain = torch.linspace(0.9, 0.1, 9, dtype=torch.float64)
    assert trust_factor(plain + expected, plain + expected).min() == 1.0
    assert prior_from("red,denoiser=wiener").expected_excess(c) is None and GaussianPrior().expected_excess(c) is None


def test_roles_are_told_apart_and_found_by_name(file):
    prior = prior_from(f"learned,denoiser={file},floor=0.3,guard=false")
    assert prior.role == "reference" and not prior.guarded
    output = prior.for_output()
    assert output.role == "output" and output.for_output().role == "output" and not output.guarded
    assert repr(prior) != repr(output) and "floor=0.3" in repr(output)
    assert LearnedPrior(NetworkDenoiser(file)).guarded


def test_what_does_not_suit_is_refused(file):
    with pytest.raises(InputError, match="has no calibration"):
        LearnedPrior(Wiener())
    with pytest.raises(InputError, match="has no calibration"):
        LearnedPrior(NetworkDenoiser(GatedUNet(2, 1)))
    with pytest.raises(InputError, match="role is 'outputs'.*did you mean 'output'"):
        LearnedPrior(NetworkDenoiser(file), role="outputs")
    with pytest.raises(InputError, match="floor is 0"):
        LearnedPrior(NetworkDenoiser(file), floor=0.0)
    with pytest.raises(InputError, match="λ"):
        LearnedPrior(NetworkDenoiser(file), weight=1.5)


def test_what_was_measured_in_the_sphere_goes_before_what_the_box_tells(file):
    denoiser, told = NetworkDenoiser(file), context(16)
    curve = torch.linspace(1, 0.1, 9, dtype=torch.float64)
    measured = replace(told, fsc_masked=curve)
    assert torch.equal(denoiser.target_fsc(measured), sphere_transfer(curve))
    assert not torch.equal(denoiser.target_fsc(told), sphere_transfer(curve))
    a, b = LearnedPrior(denoiser).for_output().gains(measured)
    expected = CalibratedAmplitude(CALIBRATION).gains(sphere_transfer(curve), measured.resolution)
    torch.testing.assert_close((a, b), expected)


def test_shells_that_the_network_cannot_know_are_those_of_the_gaussian_map(file):
    """Of smaller pixels than it was trained with, in either role; nothing is expected of the guard there."""
    scheme = SCHEMES["pad2-even"]
    s, c = statistics(scheme), replace(context(scheme.n), pixel_size=1.0)  # trained with 2 to 5 Å
    denoiser = NetworkDenoiser(file)
    known = denoiser.known(c)
    assert 1 < int(known.sum()) < len(known)
    mapped = ClosedForm()(s, GaussianPrior().bind(s, c))
    beyond = s.expand((~known).double()) > 0
    for role in ("reference", "output"):
        found = REDUpdate()(s, LearnedPrior(denoiser, role=role).bind(s, c))
        assert torch.equal(found[beyond], mapped[beyond]) and not torch.equal(found, mapped)
    assert not LearnedPrior(denoiser).expected_excess(c)[~known].any()
