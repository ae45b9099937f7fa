"""The network denoiser: its formula, equivariance, files, and what a little training does for it."""

import warnings

import pytest
import torch

from cryoinv.denoisers import NetworkDenoiser, PriorContext, Wiener, denoiser_from, sphere_transfer
from cryoinv.denoisers.filters import radial_filter
from cryoinv.errors import InputError
from cryoinv.networks import ConvolutionalCritic, GatedResidualNetwork, apply_denoising, write_network
from cryoinv.spaces import VolumeSpace, centred_rfft, radial_mean


def network(seed=0, width=4, depth=1):
    """With random weights in the last layer too."""
    torch.manual_seed(seed)
    made = GatedResidualNetwork(width, depth)
    torch.nn.init.normal_(made.last.weight)
    torch.nn.init.normal_(made.last.bias)
    return made


def drawn(n, seed=0, dtype=torch.float64):
    return torch.randn(n, n, n, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "net.safetensors"
    write_network(path, network(), (2.5, 3.0))
    return path


@pytest.mark.parametrize("n", [12, 15])
def test_it_is_the_formula(n):
    x, context = drawn(n), PriorContext.nominal(n, 3.0, 9.0)
    module = network()
    transfer = sphere_transfer(context.fsc)
    wiener = radial_filter(x, transfer)
    s = ((wiener**4).sum() / (wiener**2).sum()).sqrt()
    first = x / s / max(1.0, float((x / s).std()))
    expected = s * module.double()(torch.stack([first, wiener / s])[None])[0].detach()
    found = NetworkDenoiser(network()).denoise(x, context)
    inside = transfer > 0
    powers = [radial_mean(centred_rfft(each).abs() ** 2, n) for each in (found, expected, found - expected)]
    assert 1 < int(inside.sum()) < len(inside) and powers[1][~inside].min() > 1e-3
    torch.testing.assert_close(powers[0][inside], powers[1][inside])
    assert powers[2][inside].max() < 1e-20 and powers[0][~inside].max() < 1e-20


@pytest.mark.parametrize("factor", [2.0**-20, 0.3, 1.7e4])
def test_it_is_scale_equivariant(factor):
    x, context = drawn(12), PriorContext.nominal(12, 3.0, 9.0)
    denoiser = NetworkDenoiser(network())
    expected = factor * denoiser.denoise(x, context)
    exact = 0.0 if factor == 2.0**-20 else 1e-12
    torch.testing.assert_close(denoiser.denoise(factor * x, context), expected, rtol=exact, atol=factor * exact)


def test_an_empty_map_stays_empty():
    assert not NetworkDenoiser(network()).denoise(torch.zeros(8, 8, 8), PriorContext.nominal(8, 3.0, 9.0)).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_keeps_the_type_and_leaves_no_graph(dtype):
    x, context = drawn(8, dtype=dtype), PriorContext.nominal(8, 3.0, 9.0)
    y = NetworkDenoiser(network()).denoise(x, context)
    assert y.dtype == dtype and y.shape == x.shape and not y.requires_grad


def test_it_can_be_differentiated_where_the_map_asks():
    x, context = drawn(6).requires_grad_(), PriorContext.nominal(6, 3.0, 9.0)
    denoiser = NetworkDenoiser(network(width=2))
    assert torch.autograd.gradcheck(lambda v: denoiser.denoise(v, context), x)
    with torch.no_grad():
        assert not denoiser.denoise(x, context).requires_grad


def test_it_is_an_operator_on_volumes():
    context, space = PriorContext.nominal(8, 3.0, 9.0), VolumeSpace(8, 3.0, dtype="float64")
    denoiser = NetworkDenoiser(network())
    x = drawn(8)
    bound = denoiser.bind(space, context)
    torch.testing.assert_close(bound(space.element(x)).data, denoiser.denoise(x, context))


class TestFiles:
    def test_a_specification_that_is_a_file_loads_it(self, file, tmp_path, monkeypatch):
        x, context = drawn(8), PriorContext.nominal(8, 3.0, 9.0)
        expected = NetworkDenoiser(network(), (2.5, 3.0)).denoise(x, context)
        monkeypatch.chdir(tmp_path)
        (tmp_path / "plain").write_bytes(file.read_bytes())
        for spec in (str(file), "net.safetensors", " net.safetensors,cutoff=0.02", "network,network=net.safetensors"):
            torch.testing.assert_close(denoiser_from(spec).denoise(x, context), expected)
        torch.testing.assert_close(denoiser_from("plain").denoise(x, context), expected)
        torch.testing.assert_close(NetworkDenoiser.from_file(file).denoise(x, context), expected)

    def test_it_is_described_by_its_weights(self, file):
        same = NetworkDenoiser(network(), (2.5, 3.0))
        assert repr(NetworkDenoiser.from_file(file)) == repr(same) == repr(denoiser_from(str(file)))
        assert repr(same).startswith("NetworkDenoiser(network=GatedResidualNetwork<")
        assert repr(NetworkDenoiser(network(1), (2.5, 3.0))) != repr(same)
        assert "cutoff=0.1" in repr(NetworkDenoiser.from_file(file, cutoff=0.1))

    def test_what_does_not_suit_is_refused(self, file, tmp_path):
        with pytest.raises(InputError, match=r"none\.safetensors: there is no such file of weights"):
            denoiser_from(f"{tmp_path}/none.safetensors")
        with pytest.raises(InputError, match="has no option 'cutof'.* did you mean 'cutoff'"):
            denoiser_from(f"{file},cutof=1")
        write_network(tmp_path / "critic.safetensors", ConvolutionalCritic(2), (3.0, 3.0))
        with pytest.raises(InputError, match="is a critic, expected a denoiser"):
            denoiser_from(str(tmp_path / "critic.safetensors"))
        with pytest.raises(InputError, match="cutoff is 1"):
            denoiser_from(f"{file},cutoff=1")

    @pytest.mark.parametrize("pixel_size", [2.3, 3.2])
    def test_nearly_the_pixel_trained_with_is_taken(self, file, pixel_size):
        x, context = drawn(8), PriorContext.nominal(8, pixel_size, 9.0)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = NetworkDenoiser.from_file(file).denoise(x, context)
        assert torch.equal(found, NetworkDenoiser(network()).denoise(x, context))


@pytest.mark.parametrize("returned", [lambda maps: maps, lambda maps: maps[:, :1], lambda maps: maps[:, 0, 1:]])
@pytest.mark.parametrize("n", [12, 40])
def test_a_module_that_returns_another_shape_is_refused(returned, n):
    """As it is, and in tiles; what a network returned before its second version, two maps, among them."""

    class Other(torch.nn.Module):
        def forward(self, maps):
            return returned(maps)

    with pytest.raises(InputError, match=r"Other returned shape .*, expected \(1, "):
        NetworkDenoiser(Other(), tile=32).denoise(drawn(n), PriorContext.nominal(n, 3.0, 9.0))


def test_any_module_of_the_right_shapes_will_do():
    class Mean(torch.nn.Module):
        def forward(self, maps):
            return maps[:, 1]

    x, context = drawn(12), PriorContext.nominal(12, 3.0, 9.0)
    wiener = radial_filter(x, sphere_transfer(context.fsc))
    torch.testing.assert_close(NetworkDenoiser(Mean()).denoise(x, context), wiener)
    torch.testing.assert_close(NetworkDenoiser(Mean()).denoise(x * 1e3, context), wiener * 1e3)


@pytest.mark.slow
def test_a_little_training_beats_the_wiener_filter():
    """A ball of white noise, smoothed, in noise: the network learns where the ball is, which the filter cannot."""
    n, generator = 12, torch.Generator().manual_seed(0)
    context = PriorContext.nominal(n, 3.0, 9.0)
    axis = torch.arange(float(n)) - n // 2
    ball = (axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2 < 9).float()

    def pair():
        truth = Wiener().denoise(ball * (1 + torch.randn(n, n, n, generator=generator)), context)
        return truth, truth + 0.5 * torch.randn(n, n, n, generator=generator)

    def error(denoiser, count=20):
        generator.manual_seed(1)
        pairs = [pair() for _ in range(count)]
        return sum(float((denoiser.denoise(noisy, context) - truth).norm()) for truth, noisy in pairs) / count

    torch.manual_seed(0)
    module = GatedResidualNetwork(6, 1)
    before, transfer = error(NetworkDenoiser(module)), sphere_transfer(context.fsc)
    optimiser = torch.optim.Adam(module.parameters(), 1e-2)
    generator.manual_seed(2)
    for _ in range(100):
        truth, noisy = pair()
        loss = (apply_denoising(module, noisy[None], transfer)[0] - truth).square().sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert error(NetworkDenoiser(module)) < 0.8 * min(before, error(Wiener()))
