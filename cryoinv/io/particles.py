"""Particles: images read lazily, and what is known of each."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cryoinv.errors import InputError, shortened
from cryoinv.geometry import Poses
from cryoinv.io.checks import first_bad_image
from cryoinv.io.image_paths import split_image_names
from cryoinv.io.image_source import ArrayImages, ImageSource, number_images, open_images, refuse_duplicates
from cryoinv.io.optics import OpticsGroup, groups_from_table
from cryoinv.io.particle_checks import check_particles, shared_pixel_size
from cryoinv.io.star import ParticleTable, read_particle_table
from cryoinv.io.star_blocks import numbers


@dataclass(frozen=True, eq=False)
class ParticleStack:
    """The m particles of one data set: images on disk or in memory, with their optics and half-sets.

    Made by `from_star` or `from_arrays`. Nothing of the images is read before `images` asks for them.

    Parameters
    ----------
    source : ImageSource
        Where the images are.
    pixel_size : float
        In Å, the same for all images within 1 %.
    optics : list of OpticsGroup
        The groups.
    optics_group : ndarray of int, shape (m,)
        Which of them each particle belongs to, 0-based.
    image_names : ndarray of str, shape (m,)
        ``index@file`` as in the STAR file, index from 1.
    defocus : ndarray, shape (m, 3), optional
        Defocus U and V in Å (underfocus positive) and the angle of U in degrees; None without CTF.
    phase_shift : ndarray, shape (m,), optional
        Phase shift of a phase plate in degrees.
    ctf_bfactor : ndarray, shape (m,), optional
        B-factor of the CTF envelope in Å².
    random_subset : ndarray of int, shape (m,), optional
        Half-set, 1 or 2, chosen by an earlier run.
    poses : Poses, optional
        Poses found by an earlier run; whoever wants them has to ask for them.
    table : ParticleTable, optional
        The rows of the STAR file, kept for writing.
    """

    source: ImageSource
    pixel_size: float
    optics: list[OpticsGroup]
    optics_group: np.ndarray
    image_names: np.ndarray
    defocus: np.ndarray | None = None
    phase_shift: np.ndarray | None = None
    ctf_bfactor: np.ndarray | None = None
    random_subset: np.ndarray | None = None
    poses: Poses | None = None
    table: ParticleTable | None = None

    @property
    def n(self) -> int:
        """Box size in pixels."""
        return self.source.n

    @property
    def has_ctf(self) -> bool:
        """Whether every particle has a defocus and its optics group what else a CTF needs."""
        return self.defocus is not None

    def __len__(self) -> int:
        return len(self.source)

    def __repr__(self) -> str:
        size = f"{len(self)} particles of {self.n} x {self.n} pixels of {self.pixel_size:.4g} Å"
        return f"ParticleStack({size}, {len(self.optics)} optics groups, CTF: {self.has_ctf})"

    def images(self, indices: int | slice | ArrayLike = slice(None)) -> np.ndarray:
        """Read images, in the order asked for.

        Parameters
        ----------
        indices : int, slice, array of int or mask, shape (k,)
            Which particles, 0-based; all if left out.

        Returns
        -------
        ndarray of float32, shape (k, n, n)
            Images (y, x) in the grey scale of the file; yours to change.

        Raises
        ------
        InputError
            If an image contains NaN or Inf or is constant; it names file and particle.
        """
        rows = self._rows(indices)
        images = self.source.read(rows)
        bad = first_bad_image(images)
        if bad is not None:
            position, reason = bad
            row = int(rows[position])
            raise InputError(f"{self.source.describe(row)} {reason} (particle {shortened(self.image_names[row])})")
        return images

    def image_numbers(self) -> np.ndarray:
        """Number the different images from 0, by first appearance.

        Returns
        -------
        ndarray of int, shape (m,)
            Equal numbers where particles are the same image, as in a symmetry-expanded set.

        Examples
        --------
        >>> images = np.random.default_rng(0).standard_normal((3, 8, 8))
        >>> ParticleStack.from_arrays(images, 3.0).subset([2, 0, 2, 1]).image_numbers()
        array([0, 1, 0, 2])
        """
        return number_images(self.source)

    def subset(self, indices: int | slice | ArrayLike) -> "ParticleStack":
        """Return some particles, in the order given; no image is read.

        Parameters
        ----------
        indices : int, slice, array of int or mask, shape (k,)
            Which particles, 0-based.

        Returns
        -------
        ParticleStack
            With the same optics groups, even those that no particle is in any more.
        """
        rows = self._rows(indices)
        taken: dict[str, Any] = {"source": self.source.take(rows)}
        for name in ("optics_group", "image_names", "defocus", "phase_shift", "ctf_bfactor", "random_subset"):
            values = getattr(self, name)
            taken[name] = None if values is None else values[rows]
        taken["poses"] = None if self.poses is None else self.poses[rows]
        taken["table"] = None if self.table is None else self.table.take(rows)
        return replace(self, **taken)

    def ctf_parameters(self, indices: int | slice | ArrayLike = slice(None)) -> dict[str, np.ndarray]:
        """Return what the CTF of each particle is made from, by name with units, each of shape (k,).

        Parameters
        ----------
        indices : int, slice, array of int or mask, shape (k,)
            Which particles, 0-based; all if left out.

        Returns
        -------
        dict of str to ndarray
            ``defocus_u``, ``defocus_v`` (Å), ``defocus_angle`` (degrees), ``voltage_kv``,
            ``spherical_aberration_mm``, ``amplitude_contrast``, ``phase_shift_deg``, ``b_factor`` (Å²).

        Raises
        ------
        InputError
            If the particles have no CTF.
        """
        if self.defocus is None:
            raise InputError("these particles have no defocus, so no CTF")
        rows = self._rows(indices)
        groups, zeros = self.optics_group[rows], np.zeros(len(rows))

        def of_group(field: str) -> np.ndarray:
            return np.array([getattr(group, field) for group in self.optics], dtype=np.float64)[groups]

        return {
            "defocus_u": self.defocus[rows, 0],
            "defocus_v": self.defocus[rows, 1],
            "defocus_angle": self.defocus[rows, 2],
            "voltage_kv": of_group("voltage"),
            "spherical_aberration_mm": of_group("spherical_aberration"),
            "amplitude_contrast": of_group("amplitude_contrast"),
            "phase_shift_deg": zeros if self.phase_shift is None else self.phase_shift[rows],
            "b_factor": zeros if self.ctf_bfactor is None else self.ctf_bfactor[rows],
        }

    def _rows(self, indices: int | slice | ArrayLike) -> np.ndarray:
        """Return 0-based rows, shape (k,)."""
        count = len(self)
        if isinstance(indices, slice):
            return np.arange(*indices.indices(count))
        wanted = np.atleast_1d(np.asarray(indices))
        if wanted.dtype == bool and wanted.shape == (count,):
            return np.flatnonzero(wanted)
        if wanted.ndim != 1 or (wanted.size and wanted.dtype.kind not in "iu"):
            raise InputError(f"particle indices are {wanted.dtype} of shape {wanted.shape}, expected integers (k,)")
        if wanted.size and not -count <= wanted.min() <= wanted.max() < count:
            raise InputError(f"no particle {wanted.min()} or {wanted.max()} (from 0) among {count}")
        return np.where(wanted < 0, wanted + count, wanted).astype(np.int64)

    @classmethod
    def from_star(cls, path: str | os.PathLike[str], allow_duplicates: bool = False) -> "ParticleStack":
        """Open the particles of a RELION STAR file.

        Stacks are looked for as absolute paths, then from the folder of the STAR file, its parents and the
        working folder. The pixel size of the STAR file is believed before that of the MRC headers.

        Parameters
        ----------
        path : str or path-like
            STAR file of RELION 3.0 or later.
        allow_duplicates : bool
            Whether rows may name the same image, as those of a symmetry-expanded set do.

        Returns
        -------
        ParticleStack
            The particles in the order of the rows.

        Raises
        ------
        InputError
            If the file or a stack is missing or damaged, or they contradict themselves or each other.

        Examples
        --------
        >>> from cryoinv.io import ParticleStack
        >>> particles = ParticleStack.from_star("particles.star")      # doctest: +SKIP
        >>> particles.images([0, 5]).shape                             # doctest: +SKIP
        (2, 192, 192)
        """
        path = Path(path)
        table = read_particle_table(path)
        names = table.particles["rlnImageName"]
        source = open_images(split_image_names(names, str(path)), path, allow_duplicates)
        optics = groups_from_table(table.optics, f"{path}, data_optics")
        if "rlnImageSize" in table.optics:
            sizes = set(numbers(table.optics, "rlnImageSize", f"{path}, data_optics"))
            if sizes != {source.n}:
                listed = ", ".join(f"{size:g}" for size in sorted(sizes))
                raise InputError(f"{path}: rlnImageSize is {shortened(listed)} but the images have {source.n} pixels")
        pixel_size = shared_pixel_size(path, optics, source.stacks)
        optics = [replace(g, pixel_size=pixel_size) if math.isnan(g.pixel_size) else g for g in optics]
        stack = cls(
            source=source,
            pixel_size=pixel_size,
            optics=optics,
            optics_group=table.optics_group,
            image_names=names.to_numpy(dtype=object),
            defocus=table.defocus(),
            phase_shift=table.column("rlnPhaseShift"),
            ctf_bfactor=table.column("rlnCtfBfactor"),
            random_subset=table.random_subset(),
            poses=table.poses(pixel_size),
            table=table,
        )
        check_particles(stack, str(path))
        return stack

    @classmethod
    def from_arrays(
        cls,
        images: ArrayLike,
        pixel_size: float,
        *,
        optics: Sequence[OpticsGroup] | None = None,
        optics_group: ArrayLike | None = None,
        defocus: ArrayLike | None = None,
        phase_shift: ArrayLike | None = None,
        ctf_bfactor: ArrayLike | None = None,
        random_subset: ArrayLike | None = None,
        poses: Poses | None = None,
        image_names: Sequence[str] | None = None,
        allow_duplicates: bool = False,
    ) -> "ParticleStack":
        """Take particles that are in memory already (or in a memory map of your own).

        Parameters
        ----------
        images : array_like, shape (m, n, n)
            Images (y, x).
        pixel_size : float
            In Å.
        optics : sequence of OpticsGroup, optional
            The groups; one without CTF if left out.
        optics_group : array_like of int, shape (m,), optional
            Group of each particle, 0-based; the first if left out.
        defocus, phase_shift, ctf_bfactor, random_subset, poses
            As in `ParticleStack`.
        image_names : sequence of str, optional
            ``index@file``; ``000001@particles.mrcs`` onwards if left out.
        allow_duplicates : bool
            Whether particles may have the same name, as those of a symmetry-expanded set do.

        Returns
        -------
        ParticleStack
            The particles; `images` is not copied.

        Raises
        ------
        InputError
            If shapes disagree, or a value is not finite or out of range.

        Examples
        --------
        >>> images = np.random.default_rng(0).standard_normal((5, 8, 8))
        >>> particles = ParticleStack.from_arrays(images, pixel_size=3.0)
        >>> particles
        ParticleStack(5 particles of 8 x 8 pixels of 3 Å, 1 optics groups, CTF: False)
        >>> particles.subset([4, 1]).images(0).shape
        (1, 8, 8)
        """
        images = np.asarray(images)
        if images.ndim != 3 or images.shape[1] != images.shape[2] or not images.size:
            raise InputError(f"images have shape {images.shape}, expected (m, n, n)")
        count = len(images)
        given = [f"{row + 1:06d}@particles.mrcs" for row in range(count)] if image_names is None else image_names
        names = np.array(given, dtype=object)
        group = np.zeros(count) if optics_group is None else optics_group

        def optional(values: ArrayLike | None, dtype: type = np.float64) -> np.ndarray | None:
            return None if values is None else np.asarray(values, dtype=dtype)

        stack = cls(
            source=ArrayImages(images, np.arange(count), names),
            pixel_size=float(pixel_size),
            optics=[OpticsGroup("opticsGroup1", pixel_size)] if optics is None else list(optics),
            optics_group=np.asarray(group, dtype=np.int64),
            image_names=names,
            defocus=optional(defocus),
            phase_shift=optional(phase_shift),
            ctf_bfactor=optional(ctf_bfactor),
            random_subset=optional(random_subset, np.int64),
            poses=poses,
        )
        check_particles(stack, "particles in memory")
        if not allow_duplicates:
            refuse_duplicates(stack.source, "particles in memory")
        return stack
