"""Everything a refinement can be told, with what is known to work as defaults."""

from __future__ import annotations

from dataclasses import dataclass

from cryoinv.errors import InputError

__all__ = ["RefinementSettings"]

_CHOICES = {"noise_estimation": ("unmasked", "masked"), "signal_extent": ("sphere", "box")}


@dataclass(frozen=True)
class RefinementSettings:
    """Settings of a refinement.

    Parameters
    ----------
    particle_diameter : float, optional
        Diameter in Å of the sphere the map is masked by; estimated from the reference by default.
    max_shift : float
        Largest shift in Å that is searched.
    use_ctf : bool
        Apply the CTF where the particles have one.
    initial_lowpass : float
        Å to which the reference is low-passed first.
    symmetry : str
        Point group.
    interpolation, padding, gridding : str, int, str
        How slices are read.
    orientation_order : int
        HEALPix order of the global search (2: 15°), oversampled once.
    global_iterations : int
        Most iterations of global search, and as many again oversampled.
    local_step, local_reach : float
        Step of the local search's lattice in standard deviations of the particle's posterior, and its radius in steps.
    max_iterations : int
        Most iterations in all, the final one not counted.
    join_below : float
        Å; shells coarser than this are shared between the halves.
    window_margin : int
        Shells used beyond the half-map FSC's 0.143 crossing.
    mask_edge_pixels : float
        Width of the spherical mask's cosine edge.
    signal_extent : {"sphere", "box"}
        Where the prior expects the signal power that the FSC tells: all of it inside the mask, or spread over the whole
        box (eq. 12 to the letter), under which small particles in large boxes are smoothed too much.
    significance : float
        Posterior mass kept when poses are oversampled.
    max_orientations : int
        At most so many coarse orientations of a particle are oversampled.
    noise_estimation : {"unmasked", "masked"}
        Where σ² is estimated: "unmasked" residuals, or RELION's rule, masked ones, under which posteriors come out
        about twice too sharp.
    memory_bytes : int
        Bound on the temporaries of one block of images; transformed images are kept where they fit into as much.
    seed : int
        Determines the half-sets.
    allow_duplicates : bool
        Take particles that are the same image, as in a symmetry-expanded set; they are in the same half.
    """

    particle_diameter: float | None = None
    max_shift: float = 6.0
    use_ctf: bool = True
    initial_lowpass: float = 30.0
    symmetry: str = "C1"
    interpolation: str = "trilinear"
    padding: int = 2
    gridding: str = "separable"
    orientation_order: int = 2
    global_iterations: int = 8
    local_step: float = 1.5
    local_reach: float = 2.0
    max_iterations: int = 30
    join_below: float = 40.0
    window_margin: int = 6
    mask_edge_pixels: float = 5.0
    signal_extent: str = "sphere"
    significance: float = 0.999
    max_orientations: int = 500
    noise_estimation: str = "unmasked"
    memory_bytes: int = 1 << 29
    seed: int = 0
    allow_duplicates: bool = False

    def __post_init__(self) -> None:
        for name in ("max_shift", "join_below"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} is {getattr(self, name)}, expected zero or more Å")
        for name in ("local_step", "local_reach"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)}, expected a positive number")
        for name in ("initial_lowpass", "particle_diameter"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"{name} is {value}, expected a positive number of Å")
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise InputError(
                    f"{name} is {getattr(self, name)!r}, expected {' or '.join(map(repr, known))}"
                )
