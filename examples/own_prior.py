"""A prior of one's own, for ``cryoinv refine --prior own_prior:SparsePrior`` run in this folder, and for `refine`."""

from cryoinv.priors import VolumePrior


class SparsePrior(VolumePrior):
    """Laplace prior on voxels, sum_r |u_r| / b with b the map's own mean: most of the box is empty."""

    has_proximal = True

    def __init__(self, strength=1.0):
        self.strength = strength

    def proximal_map(self, volume, step, context):
        threshold = step * self.strength / volume.abs().mean()
        return volume.sign() * (volume.abs() - threshold).clamp(min=0)
