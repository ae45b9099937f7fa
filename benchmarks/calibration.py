"""Calibration of the pose posterior: how often credible sets hold the truth, on a grid of poses.

Images are drawn from the model itself at grid poses: 1,000 of the demonstration structure (or of a map given), box 64
at 3 Å, order 2 (15°, 4,608 orientations) times 29 translations. Three noise models are compared: the right one, the
one that counts Hermitian mates twice, and the power of masked images.

    python benchmarks/calibration.py --snr 0.04 --snr 0.01 [--json]
"""

import argparse
import json

import numpy as np
import torch

from cryoinv.geometry import SO3Grid
from cryoinv.io import ParticleStack, read_volume
from cryoinv.likelihood import ExhaustiveSearch, FourierImages, MarginalLikelihood
from cryoinv.noise import RadialGaussianNoise
from cryoinv.operators import FourierDisc, TrilinearInterpolation, soft_sphere
from cryoinv.simulation import demo_structure, potential_map
from cryoinv.spaces import centred_irfft, centred_rfft

SHARES = (0.1, 0.5, 0.9, 0.99)


def grid_images(volume, search, count, snr, rng):
    """Images (count, n, n) at random grid poses with unit white noise, the scale used, and the poses' indices."""
    n = volume.shape[0]
    scheme, disc = TrilinearInterpolation(n), FourierDisc(n)
    orientation = rng.integers(len(search.rotations), size=count)
    translation = rng.integers(len(search.translations), size=count)
    rotations = torch.as_tensor(search.rotations[orientation])
    slices = scheme.slices(scheme.prepare(volume), rotations, disc.pixels)
    angle = -2 * np.pi / n * torch.as_tensor(search.translations[translation]) @ disc.pixels.double().T
    slices = slices * torch.polar(torch.ones_like(angle), angle).to(slices.dtype)
    clean = centred_irfft(disc.place(slices), n, ndim=2).numpy()
    scale = float(np.sqrt(snr / clean.var((1, 2)).mean()))
    noise = rng.standard_normal(clean.shape, dtype=np.float32)
    return scale * clean + noise, noise, scale, translation * len(search.rotations) + orientation


def levels(volume, images, search, sigma2, truth, rng):
    """Posterior mass of the poses likelier than the true one, p(true), and the sum of squared masses."""
    stack = ParticleStack.from_arrays(images, 3.0)
    noise = RadialGaussianNoise.white(sigma2, volume.shape[0] // 2 + 1)
    likelihood = MarginalLikelihood(FourierImages(stack), noise, search, TrilinearInterpolation(volume.shape[0]))
    above, mass, square = [], [], []
    for block in np.array_split(np.arange(len(images)), -(-len(images) // 32)):
        table = likelihood.posterior(volume, block).flatten(1)
        true = table.gather(1, torch.as_tensor(truth[block])[:, None])
        ties = true[:, 0].numpy() * rng.random(len(block))
        above.append(torch.where(table > true, table, 0).sum(1, dtype=torch.float64).numpy() + ties)
        mass.append(true[:, 0].numpy())
        square.append((table.double() ** 2).sum(1).numpy())
    return np.concatenate(above), np.concatenate(mass), np.concatenate(square)


def measure(volume, snr, count, seed):
    """One SNR: a row for each noise model."""
    rng = np.random.default_rng(seed)
    search = ExhaustiveSearch(SO3Grid(2), 3.0, 1.0)
    images, noise, scale, truth = grid_images(volume, search, count, snr, rng)
    mask = soft_sphere(volume.shape[0], 70 / 3.0, 5.0, ndim=2)
    masked = float((centred_rfft(torch.as_tensor(noise) * mask, ndim=2).abs() ** 2).mean())
    rows = []
    for name, sigma2 in (("right", 1.0), ("mates counted twice", 0.5), ("masked noise power", masked)):
        above, mass, square = levels(volume * scale, images, search, sigma2, truth, rng)
        coverage = {f"{share:.0%}": float((above <= share).mean()) for share in SHARES}
        within = all(
            abs((above <= s).mean() - s) <= 3 * np.sqrt(s * (1 - s) / count) for s in (0.1, 0.5, 0.9)
        )
        rows.append({
            "snr": snr, "noise_model": name, "sigma2": sigma2, "coverage": coverage,
            "within_3_standard_errors": bool(within), "mean_p_true": float(mass.mean()),
            "mean_sum_p_squared": float(square.mean()),
        })
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--snr", type=float, action="append")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--map", help="MRC map in place of the demonstration structure")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    volume = read_volume(options.map)[0] if options.map else potential_map(demo_structure(), 64, 3.0)
    volume = torch.as_tensor(np.array(volume))
    rows = [r for snr in options.snr or [0.04, 0.01] for r in measure(volume, snr, options.count, options.seed)]
    for row in [] if options.json else rows:
        sets = "  ".join(f"{name}: {value:.3f}" for name, value in row["coverage"].items())
        print(
            f"SNR {row['snr']:<5g} {row['noise_model']:<20} {sets}  E[p(true)] {row['mean_p_true']:.4f} "
            f"E[sum p^2] {row['mean_sum_p_squared']:.4f}  {'ok' if row['within_3_standard_errors'] else 'OFF'}"
        )
    if options.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
