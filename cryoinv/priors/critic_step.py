"""The training step of a critic: what makes a network an adversarial regulariser."""

from __future__ import annotations

import torch

from cryoinv.errors import InputError

__all__ = ["critic_step", "slopes"]


def critic_step(
    critic: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    clean: torch.Tensor,
    noisy: torch.Tensor,
    penalty: float = 10.0,
    generator: torch.Generator | None = None,
) -> dict[str, float]:
    r"""Take one step down :math:`E\,\Psi(\mathrm{clean}) - E\,\Psi(\mathrm{noisy}) + \mu\,E\,(\|\nabla\Psi\| - 1)_+^2`.

    The slope is taken at mixtures :math:`t\,\mathrm{clean} + (1 - t)\,\mathrm{noisy}` with t uniform in [0, 1], one a
    pair, and in the root-mean-square norm :math:`\|v\|^2 = \mathrm{mean}_r v_r^2`: that of the gradient is
    :math:`\sqrt M\,\|\nabla\Psi\|_2` for M voxels. A number for the slope then means the same in every box. Under the
    penalty :math:`\Psi` comes near the function of slope at most 1 that tells the two kinds best apart, the distance
    to the clean maps if these are a manifold.

    Parameters
    ----------
    critic : torch.nn.Module
        From (batch, n, n, n) to (batch,).
    optimiser : torch.optim.Optimizer
        Of its weights.
    clean, noisy : torch.Tensor, shape (batch, n, n, n)
        Samples of either kind, prepared as the critic expects.
    penalty : float
        :math:`\mu`, on slopes above 1.
    generator : torch.Generator, optional
        Of the random mixtures.

    Returns
    -------
    dict of str to float
        ``loss``, ``clean`` and ``noisy`` (mean values), ``slope`` (mean at the mixtures) and ``penalty``, all before
        the step.

    Raises
    ------
    InputError
        If the shapes differ, the critic gives other than a number each, or the loss is not finite.

    References
    ----------
    S. Lunz, O. Öktem, C.-B. Schönlieb, "Adversarial regularizers in inverse problems", NeurIPS 31 (2018), eq. 7 and
    algorithm 1.

    Examples
    --------
    >>> from cryoinv.networks import ConvolutionalCritic
    >>> critic = ConvolutionalCritic(width=2)
    >>> optimiser = torch.optim.Adam(critic.parameters())
    >>> sorted(critic_step(critic, optimiser, torch.zeros(2, 8, 8, 8), torch.randn(2, 8, 8, 8)))
    ['clean', 'loss', 'noisy', 'penalty', 'slope']
    """
    if clean.shape != noisy.shape:
        raise InputError(f"clean maps have shape {tuple(clean.shape)}, noisy ones {tuple(noisy.shape)}: expected one")
    share = torch.rand(len(clean), generator=generator, dtype=clean.dtype, device="cpu").to(clean.device)
    share = share.reshape(-1, *[1] * (clean.ndim - 1))
    slope = slopes(critic, share * clean + (1 - share) * noisy)
    low, high = critic(clean), critic(noisy)
    if low.shape != (len(clean),):
        raise InputError(f"the critic gives shape {tuple(low.shape)} for {len(clean)} maps, expected one number each")
    excess = (slope - 1).clamp(min=0).square().mean()
    loss = low.mean() - high.mean() + penalty * excess
    if not bool(torch.isfinite(loss.detach())):
        found = float(loss.detach())
        raise InputError(f"the loss of the critic is {found}: lower the optimiser's rate, or check the maps")
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    means = {"loss": loss, "clean": low.mean(), "noisy": high.mean(), "slope": slope.mean(), "penalty": excess}
    return {name: float(value.detach()) for name, value in means.items()}


def slopes(critic: torch.nn.Module, volumes: torch.Tensor) -> torch.Tensor:
    r"""Slope of a critic at every map, :math:`\sqrt M\,\|\nabla\Psi(v)\|_2`, shape (batch,), differentiable."""
    points = volumes.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    flat = gradient.flatten(1)
    # Zero has no slope of its norm: a little beneath the root keeps the derivative finite.
    return (flat.shape[1] * flat.square().sum(1) + 1e-12).sqrt()
