r"""
Training a critic of one's own
==============================

A script to be run, not shown: it trains the network behind `~cryoinv.priors.AdversarialRegulariser` on structures of
your own, given as PDB, mmCIF or MRC files::

    python train_critic.py structures/*.cif --output critic.safetensors
    cryoinv refine particles.star --reference reference.mrc --output refined \
        --prior adversarial,critic=critic.safetensors

Clean maps are the structures, low-passed as their noise allows; noisy ones are the same with coloured noise, seen
through the Wiener filter, as an M-step under the Gaussian prior leaves them. One map makes many examples: 24 rotations
of the cube, resolutions from 6 to 30 Å, noise of several colours, and contrast that is blurred unevenly.
"""

import argparse
import time

import numpy as np
import torch

from cryoinv.denoisers import PriorContext, Wiener
from cryoinv.errors import InputError
from cryoinv.io import read_structure, read_volume
from cryoinv.networks import ConvolutionalCritic, read_network, write_network
from cryoinv.priors import critic_input, critic_step
from cryoinv.simulation import potential_map, resample
from cryoinv.spaces import centred_irfft, centred_rfft, radial_expand, radial_mean


def read_map(path, box, pixel_size):
    """Map (box, box, box) of a structure or of another map."""
    if str(path).endswith((".mrc", ".map")):
        volume, own = read_volume(path)
        return torch.as_tensor(resample(np.asarray(volume), own, box, pixel_size))
    return torch.as_tensor(potential_map(read_structure(path), box, pixel_size))


def read_maps(paths, box, pixel_size):
    """Maps of all files that fit the box."""
    maps = []
    for path in paths:
        try:
            maps.append(read_map(path, box, pixel_size).float())
        except InputError as error:
            print(f"left out: {path}: {error}")
    return maps


def rotated(volume, rng):
    """The map in one of the 24 orientations of a cube."""
    order = rng.permutation(3)
    turned = volume.permute(*order.tolist())
    flips = [axis for axis in range(3) if rng.random() < 0.5]
    sign = np.linalg.det(np.eye(3)[order]) * (-1) ** len(flips)
    if sign < 0:  # a mirror image: one more flip makes it a rotation
        flips = [axis for axis in range(3) if (axis in flips) != (axis == 0)]
    return turned.flip(flips) if flips else turned


def radial(profile, volume):
    """Volume with every shell multiplied by its entry of the profile."""
    n = len(volume)
    return centred_irfft(radial_expand(profile.to(volume.dtype), n, outside=0.0) * centred_rfft(volume), n)


def pair(volume, pixel_size, rng, generator):
    """A clean map and a noisy one, both as the prior hands maps to its critic."""
    n = len(volume)
    shells = torch.arange(n // 2 + 1, dtype=torch.float64)
    frequency = shells / (n * pixel_size)
    truth = radial(torch.exp(-rng.uniform(0, 200) / 4 * frequency**2), rotated(volume, rng))
    power = radial_mean(centred_rfft(truth).abs() ** 2, n).double()
    # Noise of a colour, as strong as lets the FSC fall to 1/7 at the resolution.
    resolution = 1 / rng.uniform(1 / 30, 0.98 / (2 * pixel_size))
    shell = min(round(n * pixel_size / resolution), n // 2 - 1)
    colour = (shells + 1) ** rng.uniform(0.0, 2.0)
    noise_power = colour * 6 * power[shell] / colour[shell]
    noise = torch.randn(n, n, n, generator=generator)
    grown = 1 + rng.uniform(0, 2) * (rng.random() < 0.5) * envelope(truth, pixel_size)  # noise of wrong poses
    noise = radial(noise_power.sqrt(), noise * grown / grown.square().mean().sqrt())
    fsc = power / (power + noise_power)
    context = PriorContext(n, pixel_size, fsc, torch.ones_like(fsc), n * pixel_size / shell, 0.4 * n * pixel_size)
    wiener = Wiener()
    return tuple(critic_input(wiener.denoise(each, context), context) for each in (truth, truth + noise))


def envelope(truth, pixel_size):
    """Where the particle is, from 0 to 1."""
    n = len(truth)
    spread = torch.exp(-100.0 * (torch.arange(n // 2 + 1) / (n * pixel_size)) ** 2 * np.pi**2)
    blurred = radial(spread, truth.abs())
    return (blurred / blurred.max()).clamp(0, 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", help="structures (PDB, mmCIF) or maps (MRC)")
    parser.add_argument("--output", default="critic.safetensors")
    parser.add_argument("--box", type=int, default=48)
    parser.add_argument("--pixel-size", type=float, default=3.0, help="Å")
    parser.add_argument("--width", type=int, default=6)
    parser.add_argument("--start", help="file of a critic to go on from; its width is kept")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    rng, generator = np.random.default_rng(options.seed), torch.Generator().manual_seed(options.seed)
    maps = read_maps(options.files, options.box, options.pixel_size)
    if not maps:
        raise SystemExit("none of the files gives a map that fits the box")
    critic = read_network(options.start, "critic")[0] if options.start else ConvolutionalCritic(options.width)
    average = torch.optim.swa_utils.AveragedModel(
        critic, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99)
    )
    optimiser = torch.optim.Adam(critic.parameters(), options.rate, betas=(0.5, 0.9))
    began, told = time.monotonic(), []
    for step in range(1, options.steps + 1):
        elapsed = time.monotonic() - began
        done = max(step / options.steps, elapsed / options.seconds)
        if done > 1:
            break
        optimiser.param_groups[0]["lr"] = options.rate * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * done)))
        chosen = [maps[i] for i in rng.integers(len(maps), size=options.batch)]
        pairs = [pair(volume, options.pixel_size, rng, generator) for volume in chosen]
        clean, noisy = (torch.stack(kind) for kind in zip(*pairs, strict=True))
        told.append(critic_step(critic, optimiser, clean, noisy, generator=generator))
        average.update_parameters(critic)
        if step % 50 == 0 or step == 1:
            mean = {name: np.mean([each[name] for each in told[-50:]]) for name in told[0]}
            print(f"step {step}, {elapsed:.0f} s:", ", ".join(f"{k} {v:.3f}" for k, v in mean.items()), flush=True)
    notes = {"maps": len(maps), "steps": len(told), "batch": options.batch, "box": options.box, "seed": options.seed}
    write_network(options.output, average.module, (options.pixel_size, options.pixel_size), notes)
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
