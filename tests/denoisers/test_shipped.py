"""Networks of the package: there, small, with a card that says what they learned from, and better than filters."""

import numpy as np
import pytest
import torch

from cryoinv.denoisers import SHIPPED, NetworkDenoiser, PriorContext, denoiser_from, load_denoiser
from cryoinv.denoisers.filters import radial_filter
from cryoinv.denoisers.shipped import shipped_file
from cryoinv.errors import InputError
from cryoinv.networks import RECONSTRUCTOR, read_network
from cryoinv.simulation import demo_structure, potential_map
from cryoinv.spaces import centred_rfft, radial_mean


@pytest.mark.parametrize("name", SHIPPED)
def test_it_has_a_card(name):
    _, metadata = read_network(shipped_file(name), "denoiser")
    card = metadata["notes"]
    for key in ("pairs", "structures", "corpus", "steps", "seed", "target", "held_out", "calibrated_on", "version"):
        assert key in card, key
    assert card["licence"] == "BSD-3-Clause" and card["reconstructor"] == RECONSTRUCTOR
    assert card["held_out"]["fraction_better_than_wiener"] >= 0.95
    assert card["held_out"]["fraction_better_than_masked_wiener"] >= 0.9


def test_all_of_them_are_small():
    assert sum(shipped_file(name).stat().st_size for name in SHIPPED) <= 20e6


@pytest.mark.parametrize("name", SHIPPED)
def test_it_is_found_by_its_name(name):
    denoiser = load_denoiser(name)
    assert isinstance(denoiser, NetworkDenoiser) and denoiser.calibration is not None
    assert repr(denoiser) == repr(denoiser_from(name)) == repr(load_denoiser(str(shipped_file(name))))
    assert denoiser_from(f"{name},tile=96").tile == 96


def test_one_knows_coarse_features_only_and_adds_no_power_beyond_them():
    """Where features are finer than 8 Å its output is the Wiener-filtered map, whatever it is shown."""
    denoiser = load_denoiser("cryoinv-coarse")
    n, pixel_size = 64, 3.0
    assert denoiser.finest == read_network(shipped_file("cryoinv-coarse"), "denoiser")[1]["notes"]["finest"] == 8.0
    last = int(n * pixel_size / denoiser.finest)
    context = PriorContext.nominal(n, pixel_size, 7.0)
    particle = torch.as_tensor(potential_map(demo_structure(), n, pixel_size))
    noise = torch.randn(n, n, n, generator=torch.Generator().manual_seed(0))
    for x in (particle, particle + particle.std() * noise, noise):
        found, wiener = denoiser.denoise(x, context), radial_filter(x, denoiser.target_fsc(context))
        power, filtered = (radial_mean(centred_rfft(each).abs() ** 2, n) for each in (found, wiener))
        gain = (power / filtered)[last + 1 : -1]  # the Nyquist shell holds rounding alone
        assert (gain - 1).abs().max() < 1e-5
        assert (found - wiener).norm() > 0.05 * wiener.norm()  # it does change what it knows
    finer = radial_filter(noise, (torch.arange(n // 2 + 1) > last).float())
    moved = denoiser.denoise(particle + finer, context) - denoiser.denoise(particle, context)
    change = radial_mean(centred_rfft(moved).abs() ** 2, n)
    assert change[: last + 1].max() < 1e-6 * change[last + 1 :].max()


def test_another_name_is_refused():
    with pytest.raises(InputError, match="unknown denoiser 'cryoinv-smal'.*did you mean 'cryoinv-small'"):
        load_denoiser("cryoinv-smal")


@pytest.mark.shared
@pytest.mark.slow
def test_it_beats_the_masked_filter_on_structures_it_has_not_seen(shared_data):
    """On the public test structures, in another box than it learned in."""
    from cryoinv.networks import apply_denoising
    from cryoinv.training import Corpus, HeldOut, PosedPairs, TruthMaker, held_out_pairs

    network, _ = read_network(shipped_file("cryoinv-small"), "denoiser")
    cpu = torch.device("cpu")
    truth = TruthMaker(Corpus.read(shared_data / "test", "all"), 56, 3.0, cpu)
    held = HeldOut(held_out_pairs([PosedPairs(truth)], 6, seed=11))
    found = held.measure(lambda x, w: apply_denoising(network, x, w), cpu)
    summary = held.summary(found)
    assert summary["fraction_better_than_wiener"] == 1.0 and summary["fraction_better_than_masked_wiener"] >= 0.9
    assert summary["l2_ratio_to_masked_wiener"] < 0.85 and np.isfinite(summary["mean_fsc_gain_over_masked_wiener"])
