r"""
Training a critic of one's own
==============================

A script to be run, not shown: it trains the network behind `~cryoinv.priors.AdversarialRegulariser` on the corpus that
denoisers learn from, a folder of PDB or mmCIF files or a pack of them (`~cryoinv.training.Corpus`)::

    python train_critic.py --structures structures/ --output critic.safetensors
    cryoinv refine particles.star --reference reference.mrc --output refined \
        --prior adversarial,critic=critic.safetensors

Noisy maps are unregularised half-maps at wrong poses (`~cryoinv.training.PosedPairs`), clean ones their truth, both
seen through the Wiener filter, as an M-step under the Gaussian prior leaves them. At the end it says how well the
critic tells the two apart on structures that it has not learned from.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from cryoinv.denoisers import Wiener
from cryoinv.networks import RECONSTRUCTOR, ConvolutionalCritic, read_network, write_network
from cryoinv.priors import critic_input, critic_step
from cryoinv.training import Corpus, PairStream, PosedPairs, TruthMaker, held_out_pairs
from cryoinv.training.held_out import context_of


def both_kinds(pairs):
    """Clean and noisy maps (m, n, n, n) of pairs, as the prior hands maps to its critic."""
    wiener, kinds = Wiener(), ([], [])
    for i in range(len(pairs)):
        context = context_of(pairs, i)
        if bool(wiener.transfer(context).any()):  # else there is nothing to tell apart
            for kind, volume in zip(kinds, (pairs.truth[i], pairs.noisy[i]), strict=True):
                kind.append(critic_input(wiener.denoise(volume, context), context))
    return tuple(torch.stack(kind) if kind else None for kind in kinds)


def maker(structures, split, options):
    """Pairs of the structures of a split that fit the box."""
    corpus = Corpus.read(structures, split)
    return PosedPairs(TruthMaker(corpus, options.box, options.pixel_size, torch.device("cpu")))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--structures", type=Path, required=True, help="folder; sub-folders train and valid split it")
    parser.add_argument("--output", default="critic.safetensors")
    parser.add_argument("--box", type=int, default=48)
    parser.add_argument("--pixel-size", type=float, default=3.0, help="Å")
    parser.add_argument("--width", type=int, default=12)
    parser.add_argument("--start", help="file of a critic to go on from; its width is kept")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    parser.add_argument("--held-out", type=int, default=24, help="data sets to measure on, two maps each")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def trained(critic, stream, options):
    """Running mean of the weights after all steps, and how many there were."""
    generator = torch.Generator().manual_seed(options.seed)
    mean = torch.optim.swa_utils.get_ema_multi_avg_fn(0.99)
    average = torch.optim.swa_utils.AveragedModel(critic, multi_avg_fn=mean)
    optimiser = torch.optim.Adam(critic.parameters(), options.rate, betas=(0.5, 0.9))
    began, told = time.monotonic(), []
    for step in range(1, options.steps + 1):
        elapsed = time.monotonic() - began
        done = max(step / options.steps, elapsed / options.seconds)
        if done > 1:
            break
        optimiser.param_groups[0]["lr"] = options.rate * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * done)))
        clean, noisy = both_kinds(stream[step])
        if clean is None:
            continue
        told.append(critic_step(critic, optimiser, clean, noisy, generator=generator))
        average.update_parameters(critic)
        if step % 50 == 0 or step == 1:
            recent = {name: np.mean([each[name] for each in told[-50:]]) for name in told[0]}
            print(f"step {step}, {elapsed:.0f} s:", ", ".join(f"{k} {v:.3f}" for k, v in recent.items()), flush=True)
    return average.module, len(told)


def main():
    options = arguments()
    torch.manual_seed(options.seed)
    train, valid = (maker(options.structures, split, options) for split in ("train", "valid"))
    critic, names = ConvolutionalCritic(options.width), []
    if options.start:
        critic, metadata = read_network(options.start, "critic")
        names = metadata["notes"].get("names", [])  # what was learned from once is in the weights
    critic, steps = trained(critic, PairStream([train], [1], options.batch, options.seed), options)
    clean, noisy = both_kinds(held_out_pairs([valid], options.held_out))
    with torch.no_grad():
        told_apart = float((critic(clean) < critic(noisy)).double().mean())
    print(f"{len(clean)} held-out maps: {told_apart:.1%} are noisier to the critic than their truth")
    corpus = train.truth.corpus
    notes = {"names": sorted({*corpus.names, *names}), "corpus": corpus.fingerprint, "reconstructor": RECONSTRUCTOR}
    notes |= {"steps": steps, "told_apart": told_apart}
    notes |= {name: getattr(options, name) for name in ("batch", "box", "seed")}
    write_network(options.output, critic, (options.pixel_size, options.pixel_size), notes)
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
