"""What a coefficient must weigh where data are spread over more coefficients than their weights are."""

from __future__ import annotations

import torch

__all__ = ["neighbours_mean"]


def neighbours_mean(weight: torch.Tensor, box: int) -> torch.Tensor:
    r"""Mean of the weight around each coefficient, :math:`\bar K_k = \sum_j E(k-j)K_j / \sum_j E(j)`.

    :math:`E(d) = \prod_a \min(1, 1/|n\sin(\pi d_a/n)|)` is the envelope of the kernel
    :math:`\prod_a \sin(\pi d_a)/(n\sin(\pi d_a/n))` by which a sample d coefficients away enters an exact adjoint: the
    mean is over the samples that B is made of. Where K is constant it is K.

    Parameters
    ----------
    weight : torch.Tensor, shape (n, n, n//2+1), real
        K, equal at k and -k.
    box : int
        n.

    Returns
    -------
    torch.Tensor, shape (n, n, n//2+1)

    Examples
    --------
    >>> K = torch.zeros(4, 4, 3)
    >>> K[0, 0, 0] = 1.0
    >>> [round(float(k), 3) for k in neighbours_mean(K, 4)[0, 0] / neighbours_mean(K, 4)[0, 0, 0]]
    [1.0, 0.354, 0.25]
    """
    angle = torch.pi * torch.arange(box, dtype=torch.float64, device=weight.device) / box
    envelope = (1 / (box * torch.sin(angle))).clamp(max=1)  # 1/0 at d = 0 is 1 as well
    # Convolution over the periodic grid of coefficients is multiplication in real space.
    window = torch.fft.fft(envelope / envelope.sum()).real.to(weight.dtype)
    spread = torch.fft.irfftn(weight, s=(box,) * 3) * (window[:, None, None] * window[:, None] * window)
    return torch.fft.rfftn(spread).real
