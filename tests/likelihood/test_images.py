"""Blocks of images, read ahead, against the same images in memory."""

import threading

import numpy as np
import pytest
import torch

from cryoinv.errors import InputError
from cryoinv.geometry import Poses, random_rotations
from cryoinv.io import OpticsGroup, ParticleStack
from cryoinv.likelihood import FourierImages, initial_noise, known_pose_statistics
from cryoinv.operators import TrilinearInterpolation, ctf_at_pixels, soft_sphere

from .memory import Memory
from .problems import ArrayParticles, random_noise

N, COUNT, SIZE = 8, 23, 4


class Recorded(ArrayParticles):
    """Particles that note what is read, and fail at one of them."""

    def __init__(self, *arguments, damaged=None, **options):
        super().__init__(*arguments, **options)
        self.reads, self.damaged = [], damaged
        self.read = threading.Semaphore(0)

    def images(self, indices):
        self.reads.append(list(indices))
        self.read.release()
        if self.damaged in indices:
            raise InputError(f"particles.mrcs: image {self.damaged + 1} holds NaN")
        return super().images(indices)


def particles(**options):
    images = np.random.default_rng(0).normal(size=(COUNT, N, N))
    return Recorded(images, groups=np.arange(COUNT) % 2, **options)


def readers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


@pytest.mark.parametrize("mask", [None, soft_sphere(N, 3.0, 1.0, ndim=2)])
def test_blocks_read_ahead_are_those_of_images_that_are_kept(mask):
    source = particles()
    kept = FourierImages(particles(), dtype=torch.float64, mask=mask)
    ahead = FourierImages(source, dtype=torch.float64, mask=mask, cache_bytes=0)
    order = np.random.default_rng(1).permutation(COUNT)
    blocks = list(kept.group_blocks(order, SIZE))
    for (group, block), (expected_group, expected) in zip(ahead.group_blocks(order, SIZE), blocks, strict=True):
        assert group == expected_group and np.array_equal(block, expected)
        for masked in (True, False):
            assert torch.equal(ahead.transforms(block, masked), kept.transforms(block, masked))
    assert source.reads == [list(block) for _, block in blocks]  # once each, in order


def test_sums_of_images_read_ahead_are_the_same():
    noise, poses = random_noise(N, 2), Poses(random_rotations(COUNT, np.random.default_rng(2)))
    kept, ahead = (FourierImages(particles(), dtype=torch.float64, cache_bytes=size) for size in (1 << 29, 0))
    assert torch.equal(initial_noise(kept).sigma2, initial_noise(ahead).sigma2)
    one, two = (known_pose_statistics(images, noise, poses, TrilinearInterpolation(N)) for images in (kept, ahead))
    assert torch.equal(one.data, two.data) and torch.equal(one.weight, two.weight)


def test_other_images_are_read_when_asked_for():
    images = FourierImages(source := particles(), dtype=torch.float64, cache_bytes=0)
    for _, block in images.group_blocks(np.arange(COUNT), SIZE):
        others = (block + 1) % COUNT
        expected = FourierImages(ArrayParticles(source._images), dtype=torch.float64).transforms(others)
        assert torch.equal(images.transforms(others), expected)


def test_one_block_is_read_ahead_and_no_more():
    images = FourierImages(source := particles(), cache_bytes=0)
    for done, _ in enumerate(images.group_blocks(np.arange(COUNT), SIZE), 1):
        assert source.read.acquire(timeout=10)  # that of this turn
        assert len(source.reads) <= done + 1
    assert len(source.reads) == done


def test_a_damaged_image_is_an_error_of_its_block():
    images = FourierImages(particles(damaged=16), cache_bytes=0)
    seen = []
    with pytest.raises(InputError, match="image 17 holds NaN"):
        for _, block in images.group_blocks(np.arange(COUNT), SIZE):
            seen += list(images.transforms(block))
    assert len(seen) == 8 and not readers()  # 16 is in the third block of the even group


def test_a_damaged_image_of_a_stack_is_named():
    pictures = np.random.default_rng(0).normal(size=(COUNT, N, N)).astype(np.float32)
    pictures[13, 2, 2] = np.nan
    stack = ParticleStack.from_arrays(pictures, 1.0)
    with pytest.raises(InputError, match="image 14 in memory"):
        initial_noise(FourierImages(stack, cache_bytes=0))
    with pytest.raises(InputError, match="image 14 in memory"):
        FourierImages(stack).transforms(np.arange(3))
    assert not readers()


@pytest.mark.parametrize("leave", ["break", "error"])
def test_no_thread_outlives_the_loop(leave):
    images = FourierImages(particles(), cache_bytes=0)
    try:
        for _ in images.group_blocks(np.arange(COUNT), SIZE):
            if leave == "error":
                raise ValueError
            break
    except ValueError:
        pass
    assert not readers()
    assert len(list(images.group_blocks(np.arange(COUNT), SIZE))) == 6
    assert not list(images.group_blocks(np.arange(0), SIZE))
    assert not readers()


@pytest.mark.parametrize("mask", [None, soft_sphere(N, 3.0, 1.0, ndim=2)])
def test_images_that_are_kept_are_never_twice_in_memory(mask):
    pictures = np.random.default_rng(0).normal(size=(8000, N, N)).astype(np.float32)
    images = FourierImages(ArrayParticles(pictures), mask=mask, own=np.arange(1, 8000)[::-1])
    whole = 7999 * len(images.disc) * 8
    with Memory() as memory:
        found = images.transforms(np.array([5, 7999, 1]), masked=True)
    assert whole <= memory.most < 1.5 * whole  # beside a block of 256
    expected = FourierImages(ArrayParticles(pictures), mask=mask, cache_bytes=0)
    torch.testing.assert_close(found, expected.transforms(np.array([5, 7999, 1]), masked=True))


def test_ctfs_of_several_optics_groups_are_those_of_one_at_a_time():
    optics = [OpticsGroup("a", 3.0, 300.0, 2.7, 0.1), OpticsGroup("b", 3.0, 200.0, 1.4, 0.07)]
    pictures = np.random.default_rng(0).normal(size=(5, N, N))
    defocus, groups = np.linspace(1e4, 2e4, 15).reshape(5, 3), [1, 0, 0, 1, 0]
    stack = ParticleStack.from_arrays(pictures, 3.0, optics=optics, defocus=defocus, optics_group=groups)
    images = FourierImages(stack, dtype=torch.float64)
    found = images.ctf(np.array([4, 0, 3]), 20)
    for ctf, i in zip(found, (4, 0, 3), strict=True):
        own = optics[groups[i]]
        numbers = *defocus[i], own.voltage, own.spherical_aberration, own.amplitude_contrast
        torch.testing.assert_close(ctf, ctf_at_pixels(images.disc.pixels[:20], N, 3.0, *numbers)[0])
