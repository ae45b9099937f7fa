"""The training of a denoising network: a loop over batches that goes on, after a stop, as if it had not stopped."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch

from cryoinv.errors import InputError, lacks_memory
from cryoinv.io import read_weights, write_weights
from cryoinv.networks import Network, apply_denoising

from .losses import denoising_loss
from .stream import PairStream

__all__ = ["Trainer", "TrainingPlan"]

_WARM_UP = 0.05  # of all steps the rate rises
# A short memory of the gradients' squares: with 0.999 and twice the rate, rare maps threw the weights about.
_BETAS = (0.9, 0.98)
_LAST_RATE = 0.01  # of the highest


@dataclass(frozen=True)
class TrainingPlan:
    """How a network is trained.

    Parameters
    ----------
    steps : int
        Batches.
    rate : float
        Highest learning rate of AdamW; it rises, then falls along a cosine.
    decay : float
        Weight decay.
    clip : float
        Longest gradient.
    average : float
        Weight of the past in the running mean of the weights, which is what is kept.
    shells : float
        Share of the shells in the loss, see `denoising_loss`.
    seed : int
        Of all batches, and of the first weights where these are not an earlier training's.
    """

    steps: int
    rate: float = 6e-4
    decay: float = 1e-4
    clip: float = 1.0
    average: float = 0.995
    shells: float = 0.5
    seed: int = 0

    def rate_at(self, step: int) -> float:
        """Learning rate of a step from 0."""
        done = (step + 1) / self.steps
        if done < _WARM_UP:
            return self.rate * done / _WARM_UP
        fall = (done - _WARM_UP) / (1 - _WARM_UP)
        return self.rate * (_LAST_RATE + (1 - _LAST_RATE) * 0.5 * (1 + math.cos(math.pi * fall)))


class Trainer:
    """Network, running mean of its weights and optimiser, after some steps of a plan.

    Parameters
    ----------
    network : Network
        What is trained.
    stream : PairStream
        Batches by number.
    plan : TrainingPlan
        How.
    device : torch.device
        Where.
    precision : {"full", "bfloat16"}
        Of convolutions, see `apply_denoising`; weights are in single precision.
    """

    def __init__(
        self,
        network: Network,
        stream: PairStream,
        plan: TrainingPlan,
        device: torch.device,
        precision: str = "full",
    ):
        self.precision = precision
        self.network = network.to(device, memory_format=torch.channels_last_3d).train()  # type: ignore[call-overload]
        self.stream, self.plan, self.device, self.step = stream, plan, device, 0
        self.average = {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), plan.rate, betas=_BETAS, weight_decay=plan.decay
        )

    def run(self, until: int | None = None, callback: Callable[[dict[str, float]], None] | None = None) -> None:
        """Train up to a step, or to the end of the plan.

        Parameters
        ----------
        until : int, optional
            Step to stop before; the plan's last by default.
        callback : callable, optional
            Told ``step`` (from 1), ``loss``, ``rate`` and ``seconds`` after every step; what it raises ends the loop.

        Raises
        ------
        InputError
            If the loss is not finite, or memory does not suffice.
        """
        until = self.plan.steps if until is None else min(until, self.plan.steps)
        while self.step < until:
            began = time.monotonic()
            with self._advice_on_memory():
                loss, rate = self._advance()
            told = {"step": self.step, "loss": loss, "rate": rate, "seconds": time.monotonic() - began}
            if callback is not None:
                callback(told)

    @contextmanager
    def _advice_on_memory(self) -> Iterator[None]:
        """Let an error for want of memory say what needs less."""
        try:
            yield
        except (RuntimeError, MemoryError) as error:
            if not lacks_memory(error):
                raise
            where = f"{self.device} ran out of memory in step {self.step + 1}, with {self.stream.batch} maps a batch"
            other = "" if self.device.type == "cpu" else ", or --device cpu"
            raise InputError(f"{where}; try a smaller --box or --preset{other}") from error

    def _advance(self) -> tuple[float, float]:
        pairs = self.stream[self.step].to(self.device)
        rate = self.plan.rate_at(self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        transfer = pairs.transfer
        found = apply_denoising(self.network, pairs.noisy, transfer, precision=self.precision)
        loss = denoising_loss(found, pairs.target, pairs.wiener, transfer, self.plan.shells)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise InputError(f"step {self.step + 1}: the loss is {value}, on maps of {', '.join(pairs.names)}")
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.plan.clip)
        if not math.isfinite(float(norm)):
            raise InputError(f"step {self.step + 1}: no finite gradient, on maps of {', '.join(pairs.names)}")
        self.optimiser.step()
        self.step += 1
        self._take_into_average()
        return value, rate

    def _take_into_average(self) -> None:
        """Running mean of the weights; at the beginning it forgets faster, as there is less to remember."""
        keep = min(self.plan.average, self.step / (self.step + 10))
        for name, tensor in self.network.state_dict().items():
            if tensor.is_floating_point():
                self.average[name].lerp_(tensor, 1 - keep)
            else:
                self.average[name].copy_(tensor)

    def averaged(self) -> Network:
        """Network with the mean weights, in evaluation mode, on the CPU."""
        network = type(self.network)(**self.network.sizes)
        network.load_state_dict({name: tensor.cpu() for name, tensor in self.average.items()})
        return network.eval()

    def save(self, path: str | os.PathLike[str], notes: dict[str, Any]) -> None:
        """Write all that is needed to go on, with notes that a resumed training must share.

        Parameters
        ----------
        path : str or path-like
            Ends in ``.safetensors``; there whole or not at all.
        notes : dict
            Whatever tells this training from another.
        """
        state = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        state |= {f"average.{name}": tensor for name, tensor in self.average.items()}
        names = [name for name, _ in self.network.named_parameters()]
        for index, entries in self.optimiser.state_dict()["state"].items():
            state |= {f"optimiser.{names[index]}.{key}": torch.as_tensor(value) for key, value in entries.items()}
        metadata = {"kind": "training", "step": self.step, "plan": asdict(self.plan), "notes": notes}
        write_weights(path, state, metadata)

    def restore(self, path: str | os.PathLike[str], notes: dict[str, Any]) -> None:
        """Go on from what `save` wrote.

        Parameters
        ----------
        path : str or path-like
            The file.
        notes : dict
            As of this training.

        Raises
        ------
        InputError
            If the file is not of this training; the message names what differs.
        """
        tensors, metadata = read_weights(path)
        if metadata.get("kind") != "training":
            raise InputError(f"{path}: is a {metadata.get('kind')}, expected the checkpoint of a training")
        expected: dict[str, Any] = {"plan": asdict(self.plan), "notes": notes}
        for part, values in expected.items():
            found = metadata.get(part) or {}
            for key in sorted({*values, *found}):
                if values.get(key) != found.get(key):
                    raise InputError(
                        f"{path}: belongs to a training with {key} {found.get(key)!r}, this one has {values.get(key)!r}"
                    )
        try:
            self._take_over(tensors)
        except (KeyError, RuntimeError, ValueError) as error:
            raise InputError(f"{path}: the checkpoint does not fit the network ({error})") from None
        self.step = int(metadata["step"])

    def _take_over(self, tensors: dict[str, torch.Tensor]) -> None:
        def part(prefix: str) -> dict[str, torch.Tensor]:
            return {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}

        self.network.load_state_dict(part("network."))
        for name, tensor in part("average.").items():
            self.average[name].copy_(tensor)
        moments = part("optimiser.")
        state = self.optimiser.state_dict()
        for index, (name, _) in enumerate(self.network.named_parameters()):
            entries = {k.removeprefix(f"{name}."): t for k, t in moments.items() if k.startswith(f"{name}.")}
            if entries:
                state["state"][index] = entries
        self.optimiser.load_state_dict(state)
