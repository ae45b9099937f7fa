"""Half-maps of our own refinements: stored once, read back, the same whenever they are made."""

import pytest
import torch

from cryoinv.errors import InputError
from cryoinv.io import read_weights, write_weights
from cryoinv.metrics import fourier_shell_correlation
from cryoinv.training import IntermediateMaker, IntermediatePairs

from .corpora import truth_maker

N, PIXEL = 16, 8.0


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("intermediates")
    maker = IntermediateMaker(truth_maker(N, PIXEL), folder, particles=(60, 80), snr=(1.0, 2.0))
    assert maker.make(0) == maker.path(0) and maker.make(1) == maker.path(1)
    return maker


def test_what_is_stored_are_the_half_maps_of_every_iteration(made):
    tensors, metadata = read_weights(made.path(0))
    count = len(tensors["halves"])
    assert count >= 3 and tensors["halves"].shape == (count, 2, N, N, N) and tensors["fsc"].shape == (count, N // 2 + 1)
    assert (
        metadata["structure"].startswith("heap")
        and 60 <= metadata["particles"] <= 80
        and metadata["pixel_size"] == PIXEL
    )
    last = tensors["halves"][-1].float()
    curve = torch.as_tensor(fourier_shell_correlation(*last))
    assert (curve - tensors["fsc"][-1].double()).abs()[1:-1].max() < 0.05
    assert fourier_shell_correlation(last[0], tensors["truth"].float())[1:3].min() > 0.8


def test_files_that_exist_are_kept_and_the_same_again_where_not(made):
    path = made.path(1)
    before = path.read_bytes()
    stamp = path.stat().st_mtime_ns
    assert made.make(1) == path and path.stat().st_mtime_ns == stamp
    path.unlink()
    made.make(1)
    again, _ = read_weights(path)
    path.write_bytes(before)
    first, _ = read_weights(path)
    assert all(torch.equal(again[name], first[name]) for name in first)


def test_pairs_are_iterations_turned_and_scaled(made):
    import numpy as np

    pairs = IntermediatePairs(made.folder, N, PIXEL)
    assert len(pairs) + pairs.lost == 2 and len(pairs) >= 1
    found = pairs(np.random.default_rng(0))
    assert found.noisy.shape == (2, N, N, N) and found.pixel_size == PIXEL and found.radii[0] > 10
    plain = pairs.pair(0, pairs.iterations(0) - 1)
    curve = fourier_shell_correlation(plain.noisy[0], plain.truth[0])
    assert curve[1:3].min() > 0.8
    # The sphere is the refinement's own estimate, and frequencies that it did not use are not told of.
    metadata, stored = pairs.runs[0]
    assert plain.radii == [metadata["radius"]] * 2 and 0.125 * N * PIXEL <= plain.radii[0] <= 0.475 * N * PIXEL
    assert not plain.fsc_masked[0][stored["fsc"][-1] == 0].any()
    # Turned together: the FSC with the truth does not change.
    turned = pairs.pair(0, pairs.iterations(0) - 1, np.random.default_rng(3))
    torch.testing.assert_close(fourier_shell_correlation(turned.noisy[0], turned.truth[0]), curve, atol=1e-3, rtol=0)
    assert not torch.allclose(turned.noisy[0], plain.noisy[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 18}, "maps have 16 x 16 x 16 voxels at 8 Å, expected box 18 at 8 Å"),
        ({"pixel_size": 4.0}, "expected box 16 at 4 Å"),
        ({"runs": 0}, "holds no intermediate maps"),
    ],
)
def test_what_does_not_suit_is_refused(made, change, message):
    with pytest.raises(InputError, match=message):
        IntermediatePairs(made.folder, **({"n": N, "pixel_size": PIXEL} | change))


def test_a_folder_without_them_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no intermediate maps"):
        IntermediatePairs(tmp_path, N, PIXEL)
    write_weights(tmp_path / "run-0-00000.safetensors", {"a": torch.zeros(1)}, {"kind": "critic"})
    with pytest.raises(InputError, match="is no file of intermediate half-maps"):
        IntermediatePairs(tmp_path, N, PIXEL)


@pytest.mark.parametrize(
    ("tensors", "facts", "message"),
    [
        ({}, {"radius": "wide"}, "is no file of intermediate half-maps"),
        ({}, {"structure": 3}, "is no file of intermediate half-maps"),
        ({"halves": torch.zeros(2, 1, N, N, N)}, {}, r"half-maps have shape \(2, 1, 16, 16, 16\)"),
        ({"fsc": torch.zeros(2, 4)}, {}, r"FSCs \(2, 4\), expected two maps of box 16 and 9 shells"),
        ({"truth": torch.full((N, N, N), torch.nan)}, {}, "not all values of 'truth' are finite"),
    ],
)
def test_a_file_that_was_written_by_others_is_checked_whole(tmp_path, tensors, facts, message):
    whole = {"halves": torch.zeros(2, 2, N, N, N), "truth": torch.zeros(N, N, N), "fsc": torch.ones(2, N // 2 + 1)}
    told = {"kind": "intermediate half-maps", "structure": "heap", "radius": 40.0, "pixel_size": PIXEL}
    write_weights(tmp_path / "run-0-00000.safetensors", whole | tensors, told | facts)
    with pytest.raises(InputError, match=message):
        IntermediatePairs(tmp_path, N, PIXEL)
