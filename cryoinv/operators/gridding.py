"""The window by which trilinear interpolation of a spectrum multiplies the volume."""

import torch

from cryoinv.errors import InputError

__all__ = ["gridding_window"]


def gridding_window(
    n: int, padding: int = 2, kind: str = "separable", dtype: torch.dtype = torch.float64
) -> torch.Tensor:
    r"""Window of trilinear interpolation, :math:`\prod_j \mathrm{sinc}^2(r_j/(sn))`, or its radial likeness.

    The radial form is :math:`\mathrm{sinc}^2(|r|/(sn))`. The separable one is the Fourier transform of the
    interpolation's triangle in three dimensions; RELION uses the radial one.

    Parameters
    ----------
    n : int
        Box size.
    padding : int
        Padding factor s.
    kind : {"separable", "radial"}
        Which form.
    dtype : torch.dtype
        Real type of the result.

    Returns
    -------
    torch.Tensor, shape (n, n, n)
        One at voxel n//2.

    Raises
    ------
    InputError
        If `kind` is neither form.

    References
    ----------
    P. A. Penczek, Methods in Enzymology 482 (2010) 1-33.

    Examples
    --------
    >>> float(gridding_window(4, 1)[2, 2, 0].round(decimals=4))  # sinc(1/2)^2
    0.4053
    """
    axis = (torch.arange(n, dtype=torch.float64) - n // 2) / (padding * n)
    if kind == "separable":
        line = torch.sinc(axis) ** 2
        window = line[:, None, None] * line[:, None] * line
    elif kind == "radial":
        radius = (axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2).sqrt()
        window = torch.sinc(radius) ** 2
    else:
        raise InputError(f"gridding is {kind!r}, expected 'separable' or 'radial'")
    return window.to(dtype)
