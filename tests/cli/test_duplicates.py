"""Rows with the same image: refused, or taken by leave and kept in one half."""

import re
import shutil

import numpy as np
import pytest

from cryoinv.io import ParticleStack, read_volume

from .conftest import COUNT, REFINE
from .test_bad_input import check_refused

ALLOW = "--allow-duplicates"


@pytest.fixture
def expanded(copy):
    """The data set with every row twice, as a symmetry-expanded one has them; ``once.star`` is its truth as it was."""
    shutil.copy(copy / "truth.star", copy / "once.star")
    for name in ("particles.star", "truth.star"):
        lines = (copy / name).read_text().splitlines(keepends=True)
        (copy / name).write_text("".join(line * 2 if "@" in line else line for line in lines))
    return copy


def with_halves(star, halves):
    """Add a column of half-sets."""
    given = iter(halves)
    text = re.sub(r"(_rlnOpticsGroup #2\n)(?!_rlnOpticsGroupName)", r"\1_rlnRandomSubset #3\n", star.read_text())
    text = re.sub(r"^(\S+@\S+ 1)", lambda row: f"{row[1]} {next(given)}", text, flags=re.MULTILINE)
    star.write_text(text)
    assert set(ParticleStack.from_star(star, allow_duplicates=True).random_subset) == {1, 2}


def refine(cryoinv, data, folder, *options):
    arguments = ["--reference", data / "reference.mrc", "--output", folder, *REFINE, "--max-iterations", 1]
    return cryoinv("refine", data / "particles.star", *arguments, *options)


def test_refused_without_leave(cryoinv, expanded, tmp_path):
    words = ["rows 1 and 2", "particles.mrcs: image 1", ALLOW]
    check_refused(refine(cryoinv, expanded, tmp_path / "run"), ["particles.star", *words])
    outcome = cryoinv("reconstruct", expanded / "truth.star", "--output", tmp_path / "m.mrc")
    check_refused(outcome, ["truth.star", *words])
    assert not (tmp_path / "run").exists() and not (tmp_path / "m.mrc").exists()


@pytest.mark.parametrize("link", ["hardlink_to", "symlink_to"])
def test_every_name_of_a_stack_is_an_input(link, cryoinv, copy):
    """A map that has the place of a second link is not written over it."""
    stack, other, star = copy / "particles.mrcs", copy / "other.mrc", copy / "truth.star"
    getattr(other, link)(stack)
    star.write_text(re.sub(r"^(000003@)\S+", r"\1other.mrc", star.read_text(), flags=re.MULTILINE))
    before = stack.read_bytes()
    check_refused(cryoinv("reconstruct", star, "--output", other, "--overwrite"), ["other.mrc", "is an input"])
    assert other.read_bytes() == before


def test_by_leave_they_are_in_the_same_half(cryoinv, expanded, dataset, tmp_path):
    run = tmp_path / "run"
    outcome = refine(cryoinv, expanded, run, ALLOW)
    assert outcome.code == 0, outcome.text
    found = ParticleStack.from_star(run / "particles.star", allow_duplicates=True)
    halves = found.random_subset.reshape(COUNT, 2)
    assert (halves[:, 0] == halves[:, 1]).all() and np.bincount(halves[:, 0]).tolist() == [0, COUNT // 2, COUNT // 2]
    truth = ["--truth", dataset / "truth.mrc", "--truth-poses"]
    assert cryoinv("evaluate", run, *truth, expanded / "once.star").code == 0
    check_refused(cryoinv("evaluate", run, *truth, expanded / "truth.star"), ["truth.star", "more than once", "row 2"])


def test_a_reconstruction_by_leave_is_that_of_every_image_once(cryoinv, expanded, dataset, tmp_path):
    for folder, name in ((expanded, "twice.mrc"), (dataset, "once.mrc")):
        options = [ALLOW] if folder == expanded else []
        outcome = cryoinv("reconstruct", folder / "truth.star", "--output", tmp_path / name, *options)
        assert outcome.code == 0, outcome.text
    twice, once = (read_volume(tmp_path / name)[0] for name in ("twice.mrc", "once.mrc"))
    np.testing.assert_allclose(twice, once, atol=1e-5 * np.abs(once).max())


def test_half_sets_of_the_file_that_part_them_are_refused(cryoinv, expanded, tmp_path):
    star = expanded / "particles.star"
    text = star.read_text()
    with_halves(star, [1, 1, 2, 2, 1, 2] + [1, 1] * COUNT)
    words = ["particles.star", "rows 5 and 6", "the same particle", "rlnRandomSubset is 1 and 2", "same half"]
    check_refused(refine(cryoinv, expanded, tmp_path / "run", ALLOW), words)
    assert not (tmp_path / "run").exists()
    star.write_text(text)
    with_halves(star, [1, 1, 2, 2] * COUNT)
    outcome = refine(cryoinv, expanded, tmp_path / "run", ALLOW)
    assert outcome.code == 0, outcome.text
    found = ParticleStack.from_star(tmp_path / "run" / "particles.star", allow_duplicates=True)
    assert found.random_subset.tolist() == [1, 1, 2, 2] * (COUNT // 2)


def test_a_checkpoint_knows_the_setting(cryoinv, dataset, tmp_path):
    run = tmp_path / "run"
    assert refine(cryoinv, dataset, run).code == 0
    before = (run / "map.mrc").read_bytes()
    check_refused(refine(cryoinv, dataset, run, "--resume", ALLOW), ["checkpoint.npz"])
    assert (run / "map.mrc").read_bytes() == before
