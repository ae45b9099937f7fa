"""Script: what training code uses, on the CPU, with numba, finufft and pandas hidden in the way that is asked for."""

import sys

HIDDEN = ("numba", "finufft", "pandas")


class Absent:
    """Finder that refuses the hidden modules."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def train():
    import numpy as np
    import torch

    from cryoinv.cli.options import set_threads
    from cryoinv.geometry import Poses, SO3Grid, random_rotations
    from cryoinv.io import ParticleStack
    from cryoinv.likelihood import ExhaustiveSearch, FourierImages, MarginalLikelihood, known_pose_statistics
    from cryoinv.noise import RadialGaussianNoise
    from cryoinv.operators import FourierSlice
    from cryoinv.operators.interpolation import TrilinearInterpolation
    from cryoinv.refinement import RefinementSettings, refine
    from cryoinv.spaces import VolumeSpace

    set_threads(1)
    assert torch.get_num_threads() == 1
    n, count, rng = 8, 12, np.random.default_rng(0)
    rotations = random_rotations(count, rng)
    slices = FourierSlice(VolumeSpace(n), rotations)
    axes = torch.meshgrid(*[torch.arange(n) - n // 2] * 3, indexing="ij")
    start = (torch.stack(axes).square().sum(0) < 9) * torch.tensor(rng.random((n, n, n)), dtype=torch.float32)
    x = start.clone().requires_grad_()
    spectra = slices.apply(x)
    spectra.abs().square().sum().backward()
    assert x.grad.isfinite().all()
    assert x.grad.any()
    assert slices.apply_adjoint(spectra.detach()).any()

    clean = torch.fft.fftshift(torch.fft.irfft2(spectra.detach(), s=(n, n), norm="ortho"), dim=(-2, -1)).numpy()
    particles = ParticleStack.from_arrays(clean + 0.1 * rng.standard_normal(clean.shape), pixel_size=4.0)
    images = FourierImages(particles, "cpu")
    noise = RadialGaussianNoise(torch.full((1, n // 2 + 1), 0.01))
    likelihood = MarginalLikelihood(images, noise, ExhaustiveSearch(SO3Grid(0), max_shift_pixels=1))
    assert likelihood.expectation(start).data.isfinite().all()
    assert likelihood.gradient(likelihood.domain.element(start)).data.isfinite().all()
    poses = Poses(rotations, np.zeros((count, 2)))
    known = known_pose_statistics(images, noise, poses, TrilinearInterpolation(n))
    assert known.data.isfinite().all()
    assert known.weight.any()

    settings = RefinementSettings(
        max_shift=4.0, initial_lowpass=16.0, orientation_order=0, max_iterations=1, particle_diameter=24.0
    )
    assert refine(particles, start, settings=settings, device="cpu").map.isfinite().all()
    assert not any(sys.modules.get(name) for name in HIDDEN)


if __name__ == "__main__":
    if sys.argv[1] == "not-found":
        sys.meta_path.insert(0, Absent())
    elif sys.argv[1] == "none":
        sys.modules.update(dict.fromkeys(HIDDEN))
    train()
