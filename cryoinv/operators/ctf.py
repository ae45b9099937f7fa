"""Contrast transfer function of the microscope."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from cryoinv.errors import InputError
from cryoinv.spaces import HermitianSpace, frequencies

from .multiplier import Multiplier

__all__ = ["CTF", "ctf_at_pixels", "ctf_values", "electron_wavelength"]

# CODATA 2022; h, e and c are exact in the SI of 2019.
PLANCK_CONSTANT = 6.62607015e-34  # J s
ELEMENTARY_CHARGE = 1.602176634e-19  # C
SPEED_OF_LIGHT = 299792458.0  # m / s
ELECTRON_MASS = 9.1093837139e-31  # kg


def electron_wavelength(voltage_kv: float) -> float:
    r"""Relativistic wavelength in Å: :math:`\lambda = h / \sqrt{2 m e V (1 + e V / (2 m c^2))}`.

    Parameters
    ----------
    voltage_kv : float
        Acceleration voltage in kV.

    Returns
    -------
    float

    Raises
    ------
    InputError
        If the voltage is not positive.

    References
    ----------
    E. Tiesinga, P. J. Mohr, D. B. Newell, B. N. Taylor, CODATA recommended values of the fundamental
    physical constants: 2022.

    Examples
    --------
    >>> round(electron_wavelength(300), 7)
    0.0196875
    """
    if not voltage_kv > 0:
        raise InputError(f"voltage is {voltage_kv} kV, expected more than 0")
    energy = ELEMENTARY_CHARGE * voltage_kv * 1e3
    rest = 2 * ELECTRON_MASS * SPEED_OF_LIGHT**2
    momentum = math.sqrt(2 * ELECTRON_MASS * energy * (1 + energy / rest))
    return 1e10 * PLANCK_CONSTANT / momentum


def ctf_at_pixels(
    pixels: Tensor,
    n: int,
    pixel_size: float,
    defocus_u: ArrayLike,
    defocus_v: ArrayLike,
    defocus_angle: ArrayLike,
    voltage_kv: ArrayLike,
    spherical_aberration_mm: ArrayLike,
    amplitude_contrast: ArrayLike,
    phase_shift_deg: ArrayLike = 0.0,
    b_factor: ArrayLike = 0.0,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    r"""CTF at chosen frequencies; formula, units and sign as in `ctf_values`.

    Parameters
    ----------
    pixels : Tensor, shape (P, 2)
        Frequencies ``(kx, ky)`` in units of ``1 / (n * pixel_size)``.
    n : int
        Box size.
    pixel_size, defocus_u, defocus_v, defocus_angle, voltage_kv, spherical_aberration_mm
        As in `ctf_values`.
    amplitude_contrast, phase_shift_deg, b_factor
        As in `ctf_values`.
    dtype : torch.dtype
        Real type of the result, which is computed in double precision.

    Returns
    -------
    Tensor, shape (m, P)
        On the device of `pixels`.

    Examples
    --------
    >>> ctf_at_pixels(torch.tensor([[0, 0]]), 64, 1.0, 1e4, 1e4, 0, 300, 2.7, 0.1)
    tensor([[0.1000]], dtype=torch.float64)
    """
    given = [defocus_u, defocus_v, defocus_angle, voltage_kv, spherical_aberration_mm]
    given += [amplitude_contrast, phase_shift_deg, b_factor]
    columns = np.broadcast_arrays(*(np.atleast_1d(np.asarray(c, dtype=np.float64)) for c in given))
    _check(columns, pixel_size)
    voltages, which = np.unique(columns[3], return_inverse=True)
    wavelengths = np.array([electron_wavelength(voltage) for voltage in voltages])[which]
    u, v, angle, _, cs, contrast, phase, b, wavelength = (
        torch.tensor(c, device=pixels.device)[:, None] for c in (*columns, wavelengths)
    )
    fx, fy = (pixels.to(torch.float64) / (n * pixel_size)).unbind(-1)
    squares = fx**2 + fy**2
    twice = 2 * torch.deg2rad(angle)
    astigmatism = torch.cos(twice) * (fx**2 - fy**2) + torch.sin(twice) * (2 * fx * fy)
    defocus = (u + v) / 2 * squares + (u - v) / 2 * astigmatism  # dz(angle) f^2
    aberration = torch.pi / 2 * (cs * 1e7) * wavelength**3 * squares**2
    argument = torch.pi * wavelength * defocus - aberration + torch.deg2rad(phase) + torch.asin(contrast)
    return (torch.sin(argument) * torch.exp(-b / 4 * squares)).to(dtype)


def _check(columns: Sequence[np.ndarray], pixel_size: float) -> None:
    if not pixel_size > 0:
        raise InputError(f"pixel_size is {pixel_size}, expected a positive number of Å")
    if any(column.ndim != 1 for column in columns):
        raise InputError("CTF parameters must be numbers or one-dimensional arrays, one value per particle")
    for column in columns:
        if not np.isfinite(column).all():
            raise InputError("CTF parameters hold NaN or infinite values")
    if not ((columns[5] >= 0) & (columns[5] <= 1)).all():
        raise InputError("amplitude contrast must be between 0 and 1")


def ctf_values(
    n: int,
    pixel_size: float,
    defocus_u: ArrayLike,
    defocus_v: ArrayLike,
    defocus_angle: ArrayLike,
    voltage_kv: ArrayLike,
    spherical_aberration_mm: ArrayLike,
    amplitude_contrast: ArrayLike,
    phase_shift_deg: ArrayLike = 0.0,
    b_factor: ArrayLike = 0.0,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> Tensor:
    r"""CTF on the half-spectrum: :math:`c(f) = \sin(\chi(f) + \varphi + \arcsin Q)\, e^{-B f^2/4}`.

    :math:`\chi(f) = \pi \lambda\, \Delta z\, f^2 - \frac{\pi}{2} C_s \lambda^3 f^4` with
    :math:`\Delta z = \frac12 (u + v) + \frac12 (u - v) \cos 2(\alpha - \alpha_0)` in the direction
    :math:`\alpha` of f, counted from the x axis towards y; underfocus is positive. The CTF is positive just
    above f = 0, the sign under which density is bright.

    Parameters
    ----------
    n : int
        Box size.
    pixel_size : float
        In Å.
    defocus_u, defocus_v : float or array, shape (m,)
        Largest and smallest defocus, in Å.
    defocus_angle : float or array, shape (m,)
        Direction of `defocus_u` in degrees.
    voltage_kv : float or array, shape (m,)
        Acceleration voltage in kV.
    spherical_aberration_mm : float or array, shape (m,)
        In mm.
    amplitude_contrast : float or array, shape (m,)
        Fraction Q, 0 to 1.
    phase_shift_deg : float or array, shape (m,)
        Of a phase plate, in degrees.
    b_factor : float or array, shape (m,)
        Of the envelope, in Å^2.
    dtype : torch.dtype
        Real type of the result, which is computed in double precision.
    device : torch.device or str
        Where the result lives.

    Returns
    -------
    Tensor, shape (m, n, n//2 + 1)
        One CTF per particle; m = 1 if all parameters are numbers.

    Raises
    ------
    InputError
        If a parameter is not finite or out of range.

    References
    ----------
    J. A. Mindell, N. Grigorieff, Journal of Structural Biology 142 (2003) 334-347.

    Examples
    --------
    >>> ctf = ctf_values(64, 1.5, [10000, 12000], 10000, 0, 300, 2.7, 0.1)
    >>> ctf.shape, round(float(ctf[0, 0, 0]), 4)
    (torch.Size([2, 64, 33]), 0.1)
    """
    full, half = frequencies(n, device)
    ky, kx = torch.meshgrid(full, half, indexing="ij")
    pixels = torch.stack([kx.reshape(-1), ky.reshape(-1)], dim=-1)
    values = ctf_at_pixels(
        pixels,
        n,
        pixel_size,
        defocus_u,
        defocus_v,
        defocus_angle,
        voltage_kv,
        spherical_aberration_mm,
        amplitude_contrast,
        phase_shift_deg,
        b_factor,
        dtype,
    )
    return values.reshape(-1, n, n // 2 + 1)


class CTF(Multiplier):
    r"""Multiplication of image transforms by their CTF, :math:`(A x)_k = c_k x_k`; self-adjoint.

    Parameters
    ----------
    space : HermitianSpace
        Stack of image transforms.
    values : Tensor, shape (m, n, n//2 + 1) or (n, n//2 + 1)
        CTFs, as from `ctf_values`; a single one serves all images.

    Raises
    ------
    InputError
        If the shape does not fit the space, or values are not real and finite.

    Examples
    --------
    >>> from cryoinv.spaces import HermitianSpace
    >>> space = HermitianSpace(8, ndim=2, count=2)
    >>> ctf = CTF(space, ctf_values(8, 3.0, [10000, 15000], 10000, 0, 300, 2.7, 0.1))
    >>> ctf.adjoint(space.one()) == ctf(space.one())
    True
    """

    def __init__(self, space: HermitianSpace, values: Tensor):
        values = torch.as_tensor(values)
        single = (1, *space.box_shape)
        if tuple(values.shape) not in (space.box_shape, single, space.shape):
            expected = f"{space.shape} or {space.box_shape}"
            raise InputError(f"CTF has shape {tuple(values.shape)}, expected {expected}")
        if values.is_complex() or not torch.isfinite(values).all():
            raise InputError("CTF must have real and finite values")
        super().__init__(space, values if space.count is not None else values.reshape(space.box_shape))

    @classmethod
    def from_parameters(
        cls,
        space: HermitianSpace,
        defocus_u: ArrayLike,
        defocus_v: ArrayLike,
        defocus_angle: ArrayLike,
        voltage_kv: ArrayLike,
        spherical_aberration_mm: ArrayLike,
        amplitude_contrast: ArrayLike,
        phase_shift_deg: ArrayLike = 0.0,
        b_factor: ArrayLike = 0.0,
    ) -> Self:
        r"""CTF from what the microscope tells, :math:`c(f) = \sin(\chi(f) + \varphi + \arcsin Q)\, e^{-B f^2/4}`.

        Formula and sign are those of `ctf_values`; box and pixel size, type and device are those of the space.

        Parameters
        ----------
        space : HermitianSpace
            Stack of m image transforms, or a single one; its `pixel_size` is in Å.
        defocus_u, defocus_v : float or array, shape (m,)
            Largest and smallest defocus, in Å; underfocus is positive.
        defocus_angle : float or array, shape (m,)
            Direction of `defocus_u` in degrees, from the x axis towards y.
        voltage_kv : float or array, shape (m,)
            Acceleration voltage in kV.
        spherical_aberration_mm : float or array, shape (m,)
            In mm.
        amplitude_contrast : float or array, shape (m,)
            Fraction Q, 0 to 1.
        phase_shift_deg : float or array, shape (m,)
            Of a phase plate, in degrees.
        b_factor : float or array, shape (m,)
            Of the envelope, in Å^2.

        Returns
        -------
        CTF
            One CTF per image; one for all images if all parameters are numbers.

        Raises
        ------
        InputError
            If a parameter is not finite or out of range, or there is not one value per image.

        Examples
        --------
        >>> from cryoinv.spaces import HermitianSpace
        >>> space = HermitianSpace(64, ndim=2, pixel_size=1.5, count=2)
        >>> ctf = CTF.from_parameters(space, [12000, 15000], [11500, 14200], 30, 300, 2.7, 0.1)
        >>> round(float(ctf(space.one()).data[1, 0, 0].real), 4)
        0.1
        """
        if space.box_ndim != 2:
            raise InputError(f"CTF needs a space of image transforms, got {space}")
        values = ctf_values(
            space.n,
            space.pixel_size,
            defocus_u,
            defocus_v,
            defocus_angle,
            voltage_kv,
            spherical_aberration_mm,
            amplitude_contrast,
            phase_shift_deg,
            b_factor,
            device=space.device,
        )
        return cls(space, values)
