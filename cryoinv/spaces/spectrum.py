"""Half-spectra of real arrays: transforms, weights, shells and change of box size, on plain torch tensors.

Layout. The half-spectrum of a real array with ``ndim`` axes of length ``n`` has shape
``(n, ..., n, n//2 + 1)``, the layout of ``rfftn``: frequency 0 at index 0, negative frequencies in the upper
half of every axis but the last. Transforms are orthonormal and have their phase origin at voxel ``n//2``.
Leading axes, if any, are a batch. Frequencies are integers in units of ``1 / (n * pixel_size)``.
"""

import functools

import torch
from torch import Tensor

Device = torch.device | str


def frequencies(n: int, device: Device = "cpu") -> tuple[Tensor, Tensor]:
    """Integer frequencies of a full axis, in the order of ``fftfreq``, and of the half axis, 0 to ``n//2``.

    Parameters
    ----------
    n : int
        Box size.
    device : torch.device or str
        Where the result lives.

    Returns
    -------
    full : Tensor, shape (n,), int64
        Frequencies of every axis but the last. For even ``n`` the Nyquist frequency is stored as ``-n/2``.
    half : Tensor, shape (n//2 + 1,), int64
        Frequencies of the last axis.

    Examples
    --------
    >>> full, half = frequencies(5)
    >>> full.tolist(), half.tolist()
    ([0, 1, 2, -2, -1], [0, 1, 2])
    """
    full = torch.arange(n, device=device)
    full = torch.where(full < (n + 1) // 2, full, full - n)
    return full, torch.arange(n // 2 + 1, device=device)


def hermitian_weights(n: int, dtype: torch.dtype = torch.float64, device: Device = "cpu") -> Tensor:
    """Weights ``w(kx)`` that make half-spectrum sums equal full ones: ``<x, y> = Re sum_k w x_k conj(y_k)``.

    ``w = 1`` on ``kx = 0`` and, for even ``n``, on ``kx = n/2``, where ``k`` and ``-k`` are both stored;
    ``w = 2`` elsewhere.

    Parameters
    ----------
    n : int
        Box size.
    dtype : torch.dtype
        Real type of the result.
    device : torch.device or str
        Where the result lives.

    Returns
    -------
    Tensor, shape (n//2 + 1,)
        To be broadcast along the last axis.

    Examples
    --------
    >>> hermitian_weights(4).tolist(), hermitian_weights(5).tolist()
    ([1.0, 2.0, 1.0], [1.0, 2.0, 2.0])
    """
    weights = torch.full((n // 2 + 1,), 2.0, dtype=dtype, device=device)
    weights[0] = 1
    if n % 2 == 0:
        weights[-1] = 1
    return weights


def shell_indices(n: int, ndim: int = 3, device: Device = "cpu") -> Tensor:
    """Shell ``s(k) = floor(|k| + 1/2)`` of every half-spectrum coefficient: the library's one shell rule.

    ``|k|^2`` is an integer, so ``|k|`` is never halfway between two integers: the rule has no ties on a grid.

    Parameters
    ----------
    n : int
        Box size.
    ndim : int
        Number of axes.
    device : torch.device or str
        Where the result lives.

    Returns
    -------
    Tensor, shape (n, ..., n, n//2 + 1), int64
        Shells from 0 to that of the corner, beyond ``n//2``. The tensor is cached and shared: do not write
        to it.

    Examples
    --------
    >>> shell_indices(4, ndim=2).tolist()
    [[0, 1, 2], [1, 1, 2], [2, 2, 3], [1, 1, 2]]
    """
    return _shell_indices(n, ndim, str(torch.device(device)))


@functools.lru_cache(maxsize=8)
def _shell_indices(n: int, ndim: int, device: str) -> Tensor:
    full, half = frequencies(n, device)
    squares = (half * half).double()
    for axis in range(1, ndim):
        squares = squares + (full * full).double().reshape((n,) + (1,) * axis)
    return (squares.sqrt_() + 0.5).long()


def centred_rfft(array: Tensor, ndim: int = 3) -> Tensor:
    """Orthonormal half-spectrum about voxel ``n//2``: ``X = rfftn(ifftshift(x), norm="ortho")``.

    Parameters
    ----------
    array : Tensor, shape (..., n, ..., n), real
        The last `ndim` axes are transformed.
    ndim : int
        Number of axes.

    Returns
    -------
    Tensor, shape (..., n, ..., n, n//2 + 1), complex

    Examples
    --------
    A delta at voxel ``n//2`` has a constant, real spectrum.

    >>> x = torch.zeros(4, 4)
    >>> x[2, 2] = 4.0
    >>> bool((centred_rfft(x, ndim=2) == 1).all())
    True
    """
    axes = tuple(range(-ndim, 0))
    return torch.fft.rfftn(torch.fft.ifftshift(array, dim=axes), dim=axes, norm="ortho")


def centred_irfft(spectrum: Tensor, n: int, ndim: int = 3) -> Tensor:
    """Real array of a half-spectrum: ``x = fftshift(irfftn(X, norm="ortho"))``.

    Exact adjoint of `centred_rfft` in the Hermitian inner product, and its inverse on Hermitian-consistent
    spectra.

    Parameters
    ----------
    spectrum : Tensor, shape (..., n, ..., n, n//2 + 1), complex
        Need not be Hermitian-consistent; the inconsistent part does not contribute.
    n : int
        Box size (the half axis alone does not tell odd from even).
    ndim : int
        Number of axes.

    Returns
    -------
    Tensor, shape (..., n, ..., n), real

    Examples
    --------
    >>> x = torch.arange(9.0).reshape(3, 3)
    >>> torch.allclose(centred_irfft(centred_rfft(x, 2), 3, 2), x, atol=1e-5)
    True
    """
    if spectrum.is_cuda:
        # cuFFT leaves the transform of an inconsistent spectrum undefined; CPU transforms project it.
        spectrum = symmetrise(spectrum, n, ndim)
    axes = tuple(range(-ndim, 0))
    return torch.fft.fftshift(torch.fft.irfftn(spectrum, s=(n,) * ndim, dim=axes, norm="ortho"), dim=axes)


def symmetrise(spectrum: Tensor, n: int, ndim: int = 3) -> Tensor:
    """Projection onto Hermitian-consistent spectra, ``(X_k + conj(X_-k)) / 2`` where ``-k`` is stored too.

    Both ``k`` and ``-k`` are stored only on ``kx = 0`` and, for even ``n``, on ``kx = n/2``.

    Parameters
    ----------
    spectrum : Tensor, shape (..., n, ..., n, n//2 + 1), complex
        Half-spectrum; not modified.
    n : int
        Box size.
    ndim : int
        Number of axes.

    Returns
    -------
    Tensor, same shape
        The half-spectrum of a real array.

    Examples
    --------
    >>> symmetrise(torch.tensor([1 + 1j, 2j]), 3, ndim=1)
    tensor([1.+0.j, 0.+2.j])
    """
    result = spectrum.clone()
    for column in (0,) if n % 2 else (0, n // 2):
        plane = spectrum[..., column]
        result[..., column] = (plane + _mates(plane, ndim - 1)) / 2
    return result


def _mates(plane: Tensor, ndim: int) -> Tensor:
    """``conj(plane[-k])`` over the last `ndim` axes, all of them full axes."""
    if ndim == 0:
        return plane.conj()
    axes = tuple(range(-ndim, 0))
    return plane.flip(axes).roll((1,) * ndim, axes).conj()


def radial_mean(values: Tensor, n: int, ndim: int = 3) -> Tensor:
    """Mean over every shell, ``m_s = sum_{s(k)=s} w_k v_k / sum_{s(k)=s} w_k`` with the Hermitian weights.

    Parameters
    ----------
    values : Tensor, shape (..., n, ..., n, n//2 + 1), real or complex
        Half-spectrum of values, for example ``X.abs() ** 2``.
    n : int
        Box size.
    ndim : int
        Number of axes.

    Returns
    -------
    Tensor, shape (..., n//2 + 1)
        Shells 0 to ``n//2``; the corners beyond are left out. Sums are formed in double precision.

    Examples
    --------
    >>> radial_mean(torch.ones(4, 3), 4, ndim=2)
    tensor([1., 1., 1.])
    """
    wide = torch.complex128 if values.is_complex() else torch.float64
    bins = shell_indices(n, ndim, values.device).reshape(-1).clamp(max=n // 2 + 1)  # the corners all in one
    terms = (values.to(wide) * hermitian_weights(n, device=values.device)).flatten(-ndim)
    sums = torch.zeros((*terms.shape[:-1], n // 2 + 2), dtype=wide, device=values.device)
    return (sums.index_add(-1, bins, terms)[..., :-1] / shell_counts(n, ndim, values.device)).to(values.dtype)


def shell_counts(n: int, ndim: int = 3, device: Device = "cpu") -> Tensor:
    """Coefficients of every shell in the full spectrum, the sum of the Hermitian weights there.

    Parameters
    ----------
    n : int
        Box size.
    ndim : int
        Number of axes.
    device : torch.device or str
        Where the result lives.

    Returns
    -------
    Tensor, shape (n//2 + 1,), float64

    Examples
    --------
    >>> shell_counts(4, ndim=2).tolist()
    [1.0, 8.0, 6.0]
    """
    return _shell_counts(n, ndim, str(device))


@functools.lru_cache(maxsize=8)
def _shell_counts(n: int, ndim: int, device: str) -> Tensor:
    shells = shell_indices(n, ndim, device).reshape(-1)
    weights = hermitian_weights(n, device=device).expand((n,) * (ndim - 1) + (-1,)).reshape(-1)
    return torch.bincount(shells, weights, minlength=n // 2 + 1)[: n // 2 + 1]


def radial_expand(profile: Tensor, n: int, ndim: int = 3, outside: float | None = None) -> Tensor:
    """Half-spectrum that is constant on shells, ``v_k = p_{s(k)}``.

    Parameters
    ----------
    profile : Tensor, shape (..., n//2 + 1)
        Value of shells 0 to ``n//2``.
    n : int
        Box size.
    ndim : int
        Number of axes.
    outside : float, optional
        Value beyond shell ``n//2``; by default that of the last shell.

    Returns
    -------
    Tensor, shape (..., n, ..., n, n//2 + 1)

    Examples
    --------
    >>> radial_expand(torch.tensor([5.0, 6.0]), 3, ndim=2, outside=0.0)
    tensor([[5., 6.],
            [6., 6.],
            [6., 6.]])
    """
    shells = shell_indices(n, ndim, profile.device)
    values = profile[..., shells.clamp(max=n // 2)]
    return values if outside is None else values.masked_fill(shells > n // 2, outside)


def fourier_crop(spectrum: Tensor, n: int, size: int, ndim: int = 3) -> Tensor:
    """Half-spectrum of box `n` restricted to the frequencies of a smaller box `size`.

    Coefficients keep their values: multiply by ``(size / n) ** (ndim / 2)`` for an unchanged grey scale.
    At the Nyquist frequency of an even `size` the two coefficients that fold onto each other are added, so
    that the result is Hermitian-consistent and ``fourier_crop(fourier_pad(X)) == X``.

    Parameters
    ----------
    spectrum : Tensor, shape (..., n, ..., n, n//2 + 1), complex
        Half-spectrum.
    n, size : int
        Present and wanted box size, ``size <= n``.
    ndim : int
        Number of axes.

    Returns
    -------
    Tensor, shape (..., size, ..., size, size//2 + 1)

    Examples
    --------
    >>> fourier_crop(torch.ones(5, 3), 5, 3, ndim=2).shape
    torch.Size([3, 2])
    """
    if size > n:
        raise ValueError(f"cannot crop a spectrum of box {n} to the larger box {size}")
    if size == n:
        return spectrum.clone()
    for axis in range(-ndim, -1):
        spectrum = _crop_axis(spectrum, n, size, axis)
    spectrum = spectrum[..., : size // 2 + 1].clone()
    if size % 2 == 0:
        plane = spectrum[..., -1]
        spectrum[..., -1] = plane + _mates(plane, ndim - 1)
    return spectrum


def _crop_axis(spectrum: Tensor, n: int, size: int, axis: int) -> Tensor:
    cropped = spectrum.index_select(axis, frequencies(size, spectrum.device)[0] % n)
    if size % 2 == 0:
        cropped.select(axis, size // 2).add_(spectrum.select(axis, size // 2))
    return cropped


def fourier_pad(spectrum: Tensor, n: int, size: int, ndim: int = 3) -> Tensor:
    """Half-spectrum of box `n` set into zeros of a larger box `size`: trigonometric interpolation.

    Coefficients keep their values: multiply by ``(size / n) ** (ndim / 2)`` for an unchanged grey scale.
    The Nyquist coefficient of an even `n` is shared equally between ``+n/2`` and ``-n/2``.

    Parameters
    ----------
    spectrum : Tensor, shape (..., n, ..., n, n//2 + 1), complex
        Half-spectrum.
    n, size : int
        Present and wanted box size, ``size >= n``.
    ndim : int
        Number of axes.

    Returns
    -------
    Tensor, shape (..., size, ..., size, size//2 + 1)

    Examples
    --------
    >>> fourier_pad(torch.ones(3, 2), 3, 5, ndim=2)[2]
    tensor([0., 0., 0.])
    """
    if size < n:
        raise ValueError(f"cannot pad a spectrum of box {n} to the smaller box {size}")
    if size == n:
        return spectrum.clone()
    padded = spectrum.new_zeros((*spectrum.shape[:-1], size // 2 + 1))
    padded[..., : n // 2 + 1] = spectrum
    if n % 2 == 0:
        padded[..., n // 2] /= 2
    for axis in range(-ndim, -1):
        padded = _pad_axis(padded, n, size, axis)
    return padded


def _pad_axis(spectrum: Tensor, n: int, size: int, axis: int) -> Tensor:
    shape = list(spectrum.shape)
    shape[axis] = size
    padded = spectrum.new_zeros(shape).index_copy(axis, frequencies(n, spectrum.device)[0] % size, spectrum)
    if n % 2 == 0:
        padded.select(axis, size - n // 2).div_(2)
        padded.select(axis, n // 2).copy_(padded.select(axis, size - n // 2))
    return padded
