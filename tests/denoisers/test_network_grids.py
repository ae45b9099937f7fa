"""Networks on maps that are too large for them, or of other pixels than they were trained with."""

import warnings

import numpy as np
import pytest
import torch

from cryoinv.denoisers import NetworkDenoiser, PriorContext, denoiser_from
from cryoinv.denoisers.filters import radial_filter
from cryoinv.errors import InputError, InputWarning
from cryoinv.networks import GatedResidualNetwork, GatedUNet, ResidualUNet, apply_denoising, write_network

from ..networks.networks_at_random import at_random, drawn


def cube(n, seed=0, dtype=torch.float64):
    return drawn(n, n, n, seed=seed, dtype=dtype)


class TestTiles:
    @pytest.mark.parametrize(("n", "tile"), [(33, 32), (41, 32), (62, 48)])
    @pytest.mark.parametrize("make", [GatedUNet, ResidualUNet])
    def test_they_give_what_the_whole_box_gives(self, make, n, tile):
        network = at_random(make(2, 1))
        x, context = cube(n), PriorContext.nominal(n, 3.0, 9.0)
        assert network.reach <= tile // 3  # so it is exact
        whole, found = (NetworkDenoiser(network, tile=each).denoise(x, context) for each in (192, tile))
        torch.testing.assert_close(found, whole, rtol=0, atol=1e-12 * float(whole.abs().max()))

    @pytest.mark.slow
    def test_so_they_do_where_the_grid_is_halved_twice(self):
        network = at_random(GatedUNet(2, 2))
        x, context = cube(75), PriorContext.nominal(75, 3.0, 9.0)
        assert network.reach == 23
        whole, found, small = (NetworkDenoiser(network, tile=tile).denoise(x, context) for tile in (192, 70, 48))
        torch.testing.assert_close(found, whole, rtol=0, atol=1e-12 * float(whole.abs().max()))
        # Smaller tiles leave out less than the network reaches, by which they err a little.
        assert 0 < float((small - whole).norm() / whole.norm()) < 0.05

    def test_a_gradient_passes(self):
        network, context = at_random(GatedUNet(2, 1)), PriorContext.nominal(34, 3.0, 9.0)
        gradients = []
        for tile in (192, 32):
            x = cube(34).requires_grad_()
            NetworkDenoiser(network, tile=tile).denoise(x, context).pow(3).sum().backward()
            gradients.append(x.grad)
        assert gradients[0].abs().max() > 0.01
        torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-9, atol=1e-9)

    @pytest.mark.parametrize("factor", [2.0**-9, 2.0**30])
    def test_they_are_scaled_as_a_whole(self, factor):
        x, context = cube(36, dtype=torch.float32), PriorContext.nominal(36, 3.0, 9.0)
        x[:18] *= 100  # a tile's own scale would be another
        denoiser = NetworkDenoiser(at_random(GatedUNet(2, 1)), tile=32)
        assert torch.equal(denoiser.denoise(factor * x, context), factor * denoiser.denoise(x, context))

    def test_a_network_that_sees_all_of_its_input_takes_tiles_too(self):
        x, context = cube(40), PriorContext.nominal(40, 3.0, 9.0)
        torch.manual_seed(0)
        network = GatedResidualNetwork(2, 1)
        torch.nn.init.normal_(network.last.weight)
        whole, found = (NetworkDenoiser(network, tile=tile).denoise(x, context) for tile in (192, 32))
        assert 0 < float((found - whole).norm() / whole.norm()) < 0.2  # the norms of a tile's features are its own

    @pytest.mark.parametrize("tile", [31, 47.5, True])
    def test_too_small_ones_are_refused(self, tile):
        with pytest.raises(InputError, match=f"tiles of {tile} voxels for GatedUNet, expected at least 32"):
            NetworkDenoiser(GatedUNet(2, 1), tile=tile)
        with pytest.raises(InputError, match="tiles of 119 voxels for ResidualUNet, expected at least 120"):
            NetworkDenoiser(ResidualUNet(2, 5), tile=119)

    def test_they_are_set_in_words(self, tmp_path):
        write_network(tmp_path / "n.safetensors", GatedUNet(2, 1), (3.0, 3.0))
        denoiser = denoiser_from(f"{tmp_path}/n.safetensors,tile=64")
        assert denoiser.tile == 64 and "tile=64" in repr(denoiser)


def spectrum_of(x):
    """Full spectrum with the origin at the central voxel of both, by NumPy; its voxels' power is the map's."""
    return np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(x.numpy()), norm="ortho"))


def shells_of(x, low, high):
    """Coefficients from shell `low` to before `high`."""
    axis = np.arange(len(x)) - len(x) // 2
    shells = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2).round()
    return spectrum_of(x)[(shells >= low) & (shells < high)]


def on_grid(x, size):
    """The map on another grid as wide: by cutting the spectrum, where what is at both ends folds, or adding zeros."""
    spectrum, n = spectrum_of(x), len(x)
    for axis in range(3):
        spectrum = np.moveaxis(spectrum, axis, 0)
        if n % 2 == 0:  # the Nyquist frequency is at both ends, half at each
            spectrum = np.concatenate([spectrum, spectrum[:1]])
            spectrum[[0, -1]] /= 2
        middle, half = n // 2, size // 2
        if size < n:
            spectrum = spectrum[middle - half : middle + half + 1].copy()
        else:
            spectrum = np.pad(spectrum, ((half - middle, half - middle), (0, 0), (0, 0)))
        if size % 2 == 0:
            spectrum[0] += spectrum[-1]
            spectrum = spectrum[:-1]
        spectrum = np.moveaxis(spectrum, 0, axis)
    values = np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(spectrum), norm="ortho"))
    assert np.abs(values.imag).max() < 1e-12 * np.abs(values.real).max()
    return torch.from_numpy(values.real * (size / n) ** 1.5)


def context_of(n, width, last):
    """Context of a box of so many Å, whatever the pixel: an FSC that falls with the frequency, and ends."""
    shells = torch.arange(n // 2 + 1, dtype=torch.float64)
    fsc = torch.exp(-20 * shells / width) * (shells <= last)
    return PriorContext(n, width / n, fsc, torch.ones_like(fsc), 8.0, 0.4 * width)


def filtered_by(denoiser, x, context):
    return radial_filter(x, denoiser.target_fsc(context))


class Filtered(torch.nn.Module):
    """Returns the filtered map as it is."""

    def forward(self, maps):
        return maps[:, 1]


class TestPixels:
    @pytest.mark.parametrize("n", [32, 33, 30])
    def test_of_smaller_pixels_only_what_the_network_knows_is_changed(self, n):
        """Trained with pixels of 6 Å, twice as large as the map's."""
        width, box = 3.0 * n, 2 * round(n / 4)
        network, x, context = at_random(GatedUNet(3, 1)), cube(n), context_of(n, width, n // 2 - 1)
        message = rf"is resampled to {width / box:.3g} Å, and .* nothing finer than {2 * width / box:.3g} Å"
        with pytest.warns(InputWarning, match=message):
            found = NetworkDenoiser(network, (6.0, 6.0)).denoise(x, context)
        wiener = filtered_by(NetworkDenoiser(network), x, context)
        np.testing.assert_allclose(shells_of(found, box // 2, n), shells_of(wiener, box // 2, n), rtol=0, atol=1e-12)
        assert np.abs(shells_of(wiener, box // 2, n)).max() > 0.1  # there is something to keep
        transfer = NetworkDenoiser(network).target_fsc(context)[: box // 2 + 1].clone()
        transfer[-1] = 0
        known = apply_denoising(network.double(), on_grid(x, box)[None], transfer)[0].detach()
        expected = shells_of(on_grid(known, n), 0, box // 2)
        np.testing.assert_allclose(shells_of(found, 0, box // 2), expected, rtol=0, atol=1e-11)
        changed = np.abs(expected - shells_of(wiener, 0, box // 2))
        assert changed.max() > 0.1 * np.abs(expected).max()

    @pytest.mark.parametrize("n", [16, 17])
    def test_of_larger_pixels_all_is_the_networks(self, n):
        """Trained with pixels of 2 Å, half as large as the map's."""
        width, box, last = 4.0 * n, 2 * n, n // 2 - 1
        network, x, context = at_random(GatedUNet(3, 1)), cube(n), context_of(n, width, last)
        message = "trained with pixels of 1.5 to 2 Å, the map has pixels of 4 Å: it is resampled to 2 Å$"
        with pytest.warns(InputWarning, match=message):
            found = NetworkDenoiser(network, (1.5, 2.0)).denoise(x, context)
        fine = NetworkDenoiser(network).denoise(on_grid(x, box), context_of(box, width, last))
        torch.testing.assert_close(found, on_grid(fine, n), rtol=0, atol=1e-11)
        assert float((found - filtered_by(NetworkDenoiser(network), x, context)).norm()) > 0.1 * float(found.norm())

    @pytest.mark.parametrize("pixel_sizes", [(6.0, 6.0), (4.0, 5.0), (1.0, 1.9)])
    @pytest.mark.parametrize("n", [24, 25])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_the_grey_scale_stays(self, n, pixel_sizes, dtype):
        x, context = cube(n, dtype=dtype), context_of(n, 3.0 * n, n // 2)
        with pytest.warns(InputWarning):
            found = NetworkDenoiser(Filtered(), pixel_sizes).denoise(x, context)
        assert found.dtype == dtype
        torch.testing.assert_close(found, filtered_by(NetworkDenoiser(Filtered()), x, context))

    def test_it_is_said_once(self):
        x, context = cube(12), context_of(12, 36.0, 5)
        denoiser = NetworkDenoiser(Filtered(), (6.0, 6.0))
        with pytest.warns(InputWarning) as told:
            for _ in range(3):
                denoiser.denoise(x, context)
        assert len(told) == 1 and told[0].filename == __file__
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            NetworkDenoiser(Filtered(), (2.0, 4.0)).denoise(x, context)
            NetworkDenoiser(Filtered()).denoise(x, context)

    @pytest.mark.parametrize("pixel_sizes", [(6.0, 6.0), (1.5, 1.5)])
    @pytest.mark.filterwarnings("ignore:the denoiser was trained")
    def test_scale_and_gradient(self, pixel_sizes):
        x, context = cube(8), context_of(8, 24.0, 3)
        denoiser = NetworkDenoiser(at_random(GatedUNet(2, 1)), pixel_sizes)
        found = denoiser.denoise(x, context)
        assert torch.equal(denoiser.denoise(2.0**20 * x, context), 2.0**20 * found)
        assert torch.autograd.gradcheck(lambda v: denoiser.denoise(v, context), x.requires_grad_(), fast_mode=True)

    @pytest.mark.filterwarnings("ignore:the denoiser was trained")
    def test_the_finer_grid_may_need_tiles(self):
        x, context = cube(24), context_of(24, 72.0, 11)
        network = at_random(GatedUNet(2, 1))
        whole, found = (NetworkDenoiser(network, (1.5, 1.5), tile=t).denoise(x, context) for t in (192, 32))
        torch.testing.assert_close(found, whole, rtol=0, atol=1e-12)


def test_precision_can_be_asked_for(tmp_path):
    write_network(tmp_path / "n.safetensors", at_random(GatedUNet(2, 1)), (3.0, 3.0))
    x, context = cube(34, dtype=torch.float32), PriorContext.nominal(34, 3.0, 9.0)
    full, half, tiled = (
        denoiser_from(f"{tmp_path / 'n.safetensors'}{options}").denoise(x, context)
        for options in ("", ",precision=bfloat16", ",precision=bfloat16,tile=32")
    )
    for found in (half, tiled):
        assert 1e-5 < float((found - full).norm() / full.norm()) < 0.02
    with pytest.raises(InputError, match="unknown precision 'float', expected one of: bfloat16, full"):
        denoiser_from(f"{tmp_path / 'n.safetensors'},precision=float")
