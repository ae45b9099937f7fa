"""Bad input: one clear message, a non-zero exit, nothing written."""

import gzip
import re
import shutil
import struct

import numpy as np
import pytest

from cryoinv.io import open_stack, read_volume, write_stack, write_structure, write_volume
from cryoinv.simulation import demo_structure

from .conftest import BOX, COUNT, PIXEL_SIZE, REFINE
from .test_contract import snapshot


def random(*shape):
    return np.random.default_rng(0).random(shape)


def edit(path, pattern, replacement, count=1):
    text, found = re.subn(pattern, replacement, path.read_text(), count=count, flags=re.MULTILINE)
    assert found, pattern
    path.write_text(text)


def truncate(path, keep=0.5):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])


def spoil_image(data, value):
    images = open_stack(data / "particles.mrcs")[:]
    images[4, 3:5] = value
    if value == 7:
        images[4] = value
    # The library's own writer refuses such values.
    content = (data / "particles.mrcs").read_bytes()[:1024] + images.tobytes()
    (data / "particles.mrcs").write_bytes(content)


def spoil_reference(data, change):
    volume, _ = read_volume(data / "reference.mrc")
    content = (data / "reference.mrc").read_bytes()[:1024] + change(volume).astype(np.float32).tobytes()
    (data / "reference.mrc").write_bytes(content)


def rows_removed(path):
    text = path.read_text()
    path.write_text(re.sub(r"^.*@.*\n", "", text, flags=re.MULTILINE))


def with_column(path, label, value="0"):
    """Add a column of one value to a particle table without a CTF."""
    lines = path.read_text().splitlines(keepends=True)
    last = max(i for i, line in enumerate(lines) if line.startswith("_rln"))
    lines[last] += f"_{label} #99\n"
    path.write_text("".join(f"{line.rstrip()} {value}\n" if "@" in line else line for line in lines))


def only_one_particle(path):
    lines = path.read_text().splitlines(keepends=True)
    rows = [i for i, line in enumerate(lines) if "@" in line]
    path.write_text("".join(line for i, line in enumerate(lines) if i not in rows[1:]))


def with_nan(volume):
    volume[2, 3, 4] = np.nan
    return volume


def put(path, offset, *values):
    """Write whole numbers into a header."""
    raw = bytearray(path.read_bytes())
    raw[offset : offset + 4 * len(values)] = struct.pack(f"<{len(values)}i", *values)
    path.write_bytes(raw)


def bomb(path):
    """A gzipped file of some megabytes that unpacks to gigabytes of zeros, as its header says."""
    put(path, 0, 700, 700, 700)
    content = gzip.compress(path.read_bytes()[:1024], 1)
    # Members of a gzip file follow one another: one of zeros, many times.
    path.write_bytes(content + gzip.compress(bytes(1 << 24), 9) * (700**3 * 4 >> 24))


def second_group(path, pixel_size, box):
    """Give the third particle an optics group of its own."""
    row = "1 simulated 7 300 2.7 0.1 20 2\n"
    edit(path, f"^{row}", f"{row}2 other {pixel_size} 300 2.7 0.1 {box} 2\n")
    edit(path, r"^000003@(\S+) 1", r"000003@\1 2")


def another_box(data):
    write_stack(data / "other.mrcs", random(2, BOX + 2, BOX + 2), PIXEL_SIZE)
    edit(data / "particles.star", r"^000003@\S+", "000001@other.mrcs")


STAR, STACK, REFERENCE = "particles.star", "particles.mrcs", "reference.mrc"
SPOILT = {
    "star missing": (lambda d: (d / STAR).unlink(), [STAR, "no such"]),
    "star is a folder": (lambda d: ((d / STAR).unlink(), (d / STAR).mkdir()), [STAR, "folder"]),
    "star empty": (lambda d: (d / STAR).write_text(""), [STAR, "empty"]),
    "star truncated": (lambda d: (d / STAR).write_text((d / STAR).read_text().rstrip()[:-8]), [STAR, "truncated"]),
    "star cut in its header": (lambda d: truncate(d / STAR, 0.1), [STAR]),
    "star is an image": (lambda d: (d / STAR).write_bytes((d / STACK).read_bytes()), [STAR]),
    "star is prose": (lambda d: (d / STAR).write_text("dear reader,\n"), [STAR]),
    "star without rows": (lambda d: rows_removed(d / STAR), [STAR, "no rows"]),
    "star without images": (lambda d: edit(d / STAR, "rlnImageName", "rlnImage"), [STAR, "rlnImageName"]),
    "star with a defocus in part": (lambda d: with_column(d / STAR, "rlnDefocusV"), [STAR, "rlnDefocusU is missing"]),
    "stack missing": (lambda d: edit(d / STAR, "particles.mrcs", "else.mrcs"), [STAR, "else.mrcs"]),
    "index too large": (lambda d: edit(d / STAR, r"0*3@", "000099@"), [STAR, "99", STACK]),
    "index zero": (lambda d: edit(d / STAR, r"0*3@", "000000@"), [STAR, "000000@", "row 3", "from 1"]),
    "index zero, bare": (lambda d: edit(d / STAR, r"0*3@", "0@"), [STAR, "'0@particles.mrcs'", "row 3", "from 1"]),
    "row without an index": (lambda d: edit(d / STAR, r"0*3@", "@"), [STAR, "row 3", "index@file"]),
    "row without a file": (lambda d: edit(d / STAR, r"^000003@\S+", "000003@"), [STAR, "row 3", "index@file"]),
    "row without its last column": (
        lambda d: edit(d / STAR, r"^(000003@\S+) 1", r"\1"), [STAR, "line ", "1 entries, expected 2"]
    ),
    "duplicate particle": (
        lambda d: edit(d / STAR, r"0*3@", "000002@"), [STAR, "rows 2 and 3", STACK, "image 2", "--allow-duplicates"]
    ),
    "undefined optics group": (
        lambda d: edit(d / STAR, r"^000003@(\S+) 1", r"000003@\1 9"), [STAR, "row 3", "optics group 9", "only 1"]
    ),
    "no optics group": (
        lambda d: (second_group(d / STAR, 7, 20), edit(d / STAR, "rlnOpticsGroup #2$", "rlnElse #2", 2)),
        [STAR, "rlnOpticsGroup is missing"],
    ),
    "two pixel sizes": (
        lambda d: second_group(d / STAR, 7.5, 20), [STAR, "7 Å in optics group simulated", "7.5 Å in optics group oth"]
    ),
    "two boxes": (lambda d: another_box(d), [STAR, "box sizes differ", "20 pixels", "22 in", "other.mrcs"]),
    "two boxes in the optics": (lambda d: second_group(d / STAR, 7, 24), [STAR, "20, 24", "have 20 pixels"]),
    "huge stack": (lambda d: put(d / STACK, 0, 100000, 100000, 100000), [STACK, "truncated", "100000 x 100000"]),
    "stack of negative size": (lambda d: put(d / STACK, 8, -3), [STACK, "not an MRC", "-3"]),
    "huge reference": (
        lambda d: put(d / REFERENCE, 0, 2**31 - 1, 2**31 - 1, 2**31 - 1), [REFERENCE, "truncated", "33024"]
    ),
    "huge extended header": (lambda d: put(d / REFERENCE, 92, 2**31 - 1), [REFERENCE, "truncated"]),
    "gzip bomb": (lambda d: bomb(d / REFERENCE), [REFERENCE, "gzipped", "unpack it first"]),
    "one particle": (lambda d: only_one_particle(d / STAR), [STAR, "half"]),
    "stack truncated": (lambda d: truncate(d / STACK), [STACK, "truncated"]),
    "stack empty": (lambda d: (d / STACK).write_bytes(b""), [STACK, "empty"]),
    "stack is text": (lambda d: (d / STACK).write_text("x" * 5000), [STACK, "not an MRC"]),
    "image with NaN": (lambda d: spoil_image(d, np.nan), [STACK, "image 5", "NaN"]),
    "image with Inf": (lambda d: spoil_image(d, np.inf), [STACK, "image 5", "Inf"]),
    "image with huge values": (lambda d: spoil_image(d, 3e38), [STACK, "image 5", "3e+38", "1e+15"]),
    "reference with huge values": (lambda d: spoil_reference(d, lambda v: 1e30 * v), [REFERENCE, "e+", "1e+15"]),
    "senseless B-factor": (lambda d: with_column(d / STAR, "rlnCtfBfactor", "-1e9"), [STAR, "B-factor", "row 1"]),
    "constant image": (lambda d: spoil_image(d, 7), [STACK, "image 5", "constant"]),
    "reference missing": (lambda d: (d / REFERENCE).unlink(), [REFERENCE, "no such"]),
    "reference empty": (lambda d: (d / REFERENCE).write_bytes(b""), [REFERENCE, "empty"]),
    "reference truncated": (lambda d: truncate(d / REFERENCE), [REFERENCE, "truncated"]),
    "reference is a STAR file": (lambda d: (d / REFERENCE).write_bytes((d / STAR).read_bytes()), [REFERENCE]),
    "reference with NaN": (lambda d: spoil_reference(d, with_nan), [REFERENCE, "NaN"]),
    "reference zero": (lambda d: spoil_reference(d, lambda v: 0 * v), [REFERENCE, "zero"]),
    "reference constant": (lambda d: spoil_reference(d, lambda v: 0 * v + 2), [REFERENCE, "constant"]),
    "reference not cubic": (
        lambda d: write_volume(d / REFERENCE, random(BOX, BOX, BOX + 2), PIXEL_SIZE), [REFERENCE, "not cubic"]
    ),
    "reference of another box": (
        lambda d: write_volume(d / REFERENCE, random(*(BOX + 4,) * 3), PIXEL_SIZE), [REFERENCE, STAR, "24", "20"],
    ),
    "reference of another pixel size": (
        lambda d: write_volume(d / REFERENCE, random(*(BOX,) * 3), PIXEL_SIZE * 1.02),
        [REFERENCE, STAR, "7.14", "1 %"],
    ),
    "stack of another box": (
        lambda d: write_stack(d / STACK, random(COUNT, BOX - 4, BOX - 4), PIXEL_SIZE), ["16"]
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SPOILT, ids=lambda name: name.replace(" ", "-"))
def test_refine_refuses_spoilt_files(case, cryoinv, copy, tmp_path):
    spoil, words = SPOILT[case]
    spoil(copy)
    before = snapshot(copy)
    outcome = cryoinv("refine", copy / STAR, "--reference", copy / REFERENCE, "--output", tmp_path / "run", *REFINE)
    check_refused(outcome, words)
    assert not (tmp_path / "run").exists() and snapshot(copy) == before


WRONG = {
    "zero-diameter": (["--particle-diameter", "0"], ["particle_diameter is 0", "positive"]),
    "symmetry": (["--symmetry", "C0"], ["C0"]),
    "prior": (["--prior", "gausian"], ["gausian", "gaussian"]),
    "device": (["--device", "tpu"], ["tpu"]),
    "absent-gpu": (["--device", "cuda:99"], ["cuda:99"]),
    "diameter": (["--particle-diameter", "-3"], ["particle_diameter"]),
    "large-diameter": (["--particle-diameter", "500"], ["particle_diameter is 500", "box of 140"]),
    "shift": (["--max-shift", "-1"], ["max_shift"]),
    "large-shift": (["--max-shift", "inf"], ["max_shift"]),
    "nan": (["--initial-lowpass", "nan"], ["initial_lowpass"]),
    "large-lowpass": (["--initial-lowpass", "inf"], ["initial_lowpass", "box"]),
    "tiny-diameter": (["--particle-diameter", "0.1"], ["particle_diameter", "two pixels"]),
    "noise": (["--noise-estimation", "guess"], ["guess"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_refine_refuses_wrong_options_and_leaves_an_old_run_alone(case, cryoinv, dataset, refined):
    options, words = WRONG[case]
    before = snapshot(refined)
    # A later option takes the place of an earlier one.
    outcome = cryoinv(
        "refine",
        dataset / STAR,
        "--reference",
        dataset / REFERENCE,
        "--output",
        refined,
        "--overwrite",
        *REFINE,
        *options,
    )
    check_refused(outcome, words)
    assert snapshot(refined) == before


def test_usage_errors_exit_with_2(cryoinv, dataset, tmp_path):
    for arguments in (
        ["refine", dataset / STAR, "--output", tmp_path / "x"],
        [
            "refine",
            dataset / STAR,
            "--reference",
            dataset / REFERENCE,
            "--output",
            tmp_path / "x",
            "--overwrite",
            "--resume",
        ],
        ["refine", dataset / STAR, "--reference", dataset / REFERENCE, "--output", tmp_path / "x", "--seed", "one"],
        ["nonsense"],
    ):
        outcome = cryoinv(*arguments)
        assert outcome.code == 2 and "Traceback" not in outcome.text
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("output", ["a-file", "a-file/below"])
def test_output_that_cannot_be_a_folder(output, cryoinv, dataset, tmp_path):
    (tmp_path / "a-file").write_text("mine")
    outcome = cryoinv("refine", dataset / STAR, "--reference", dataset / REFERENCE, "--output", tmp_path / output)
    check_refused(outcome, ["a-file"])
    assert (tmp_path / "a-file").read_text() == "mine"


@pytest.mark.parametrize("option", ["--overwrite", "--resume"])
@pytest.mark.parametrize("name", ["map.mrc", "checkpoint.npz", "figures"])
def test_output_places_that_are_taken(name, option, cryoinv, dataset, tmp_path):
    """A folder where a file goes, or a file where the figures' folder goes, is found before the work and not after."""
    mine = tmp_path / "run" / name if name == "figures" else tmp_path / "run" / name / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    before = snapshot(tmp_path)
    arguments = ["refine", dataset / STAR, "--reference", dataset / REFERENCE, "--output", tmp_path / "run", *REFINE]
    check_refused(cryoinv(*arguments, option), [name])
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        (None, [], ["no such"]),
        (b"", [], ["empty"]),
        (b"not atoms", [], ["model.cif"]),
        ("good", ["--snr", "0"], ["SNR"]),
        ("good", ["--snr", "nan"], ["SNR"]),
        ("good", ["--box", "10"], ["pixels"]),
        ("good", ["--noise", "pink"], ["pink", "white"]),
        ("good", ["--max-shift", "-2"], ["shift"]),
        ("good", ["--pixel-size", "-1"], ["pixel"]),
    ],
)
def test_simulate_refuses(content, options, words, cryoinv, structure, tmp_path):
    path = tmp_path / "model.cif"
    if content == "good":
        path = structure
    elif content is not None:
        path.write_bytes(content)
    outcome = cryoinv(
        "simulate",
        path,
        "--box",
        BOX,
        "--pixel-size",
        PIXEL_SIZE,
        "--particles",
        2,
        "--output",
        tmp_path / "out",
        *options,
    )
    check_refused(outcome, words)
    assert not (tmp_path / "out").exists()


def written(path, lines):
    """Write the demonstration's atoms, without what comes after some number of lines."""
    write_structure(path, demo_structure())
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:lines]))


def simulate(cryoinv, path, folder):
    return cryoinv(
        "simulate", path, "--box", BOX, "--pixel-size", PIXEL_SIZE, "--particles", 2, "--output", folder
    )


@pytest.mark.parametrize(("name", "cut"), [("m.cif", 20), ("m.pdb", 20), ("m.cif.gz", 20), ("m.pdb.gz", 1000)])
def test_simulate_refuses_a_truncated_structure(name, cut, cryoinv, tmp_path):
    written(tmp_path / name.removesuffix(".gz"), -2)
    content = (tmp_path / name.removesuffix(".gz")).read_bytes()
    (tmp_path / name).write_bytes((gzip.compress(content) if name.endswith(".gz") else content)[:-cut])
    check_refused(simulate(cryoinv, tmp_path / name, tmp_path / "out"), [name, "truncated"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["m.cif", "m.pdb"])
def test_simulate_warns_of_a_structure_cut_between_atoms(name, cryoinv, tmp_path):
    written(tmp_path / name, -50)
    outcome = simulate(cryoinv, tmp_path / name, tmp_path / "out")
    assert outcome.code == 0, outcome.text
    assert f"{name}: no " in outcome.err and "may be cut short" in outcome.err and "Traceback" not in outcome.err


def test_simulate_refuses_a_constant_map_by_name(cryoinv, tmp_path):
    write_volume(tmp_path / "flat.mrc", np.ones((BOX,) * 3), PIXEL_SIZE)
    outcome = cryoinv(
        "simulate", tmp_path / "flat.mrc", "--box", BOX, "--pixel-size", PIXEL_SIZE, "--output", tmp_path / "out"
    )
    check_refused(outcome, ["flat.mrc", "constant"])


@pytest.mark.parametrize(("option", "value", "word"), [("--max-shift", 1000, "shift"), ("--b-factor", 50, "B-factor")])
def test_simulate_refuses_of_a_map_what_is_for_atoms_or_leaves_the_box(option, value, word, cryoinv, dataset, tmp_path):
    arguments = ["simulate", dataset / "truth.mrc", "--box", BOX, "--pixel-size", PIXEL_SIZE, "--particles", 2]
    check_refused(cryoinv(*arguments, option, value, "--output", tmp_path / "out"), [word, str(value)])
    assert not (tmp_path / "out").exists()


def test_evaluate_refuses(cryoinv, dataset, refined, copy, tmp_path):
    def evaluate(folder=refined, truth=dataset / "truth.mrc", poses=dataset / "truth.star", options=()):
        return cryoinv("evaluate", folder, "--truth", truth, "--truth-poses", poses, "--json", *options)

    check_refused(evaluate(folder=tmp_path / "none"), ["none"])
    check_refused(evaluate(folder=dataset), ["map.mrc"])
    check_refused(evaluate(poses=dataset / STAR), [STAR, "rlnAngleRot"])
    check_refused(evaluate(poses=copy / "truth.star"), ["truth.star", "24 of 24"])
    write_volume(tmp_path / "big.mrc", random(*(BOX + 2,) * 3), PIXEL_SIZE)
    check_refused(evaluate(truth=tmp_path / "big.mrc"), ["big.mrc", "22"])
    write_volume(tmp_path / "fine.mrc", random(*(BOX,) * 3), PIXEL_SIZE / 2)
    check_refused(evaluate(truth=tmp_path / "fine.mrc"), ["fine.mrc", "3.5"])
    write_volume(tmp_path / "flat.mrc", np.ones((BOX,) * 3), PIXEL_SIZE)
    check_refused(evaluate(truth=tmp_path / "flat.mrc"), ["flat.mrc", "constant", "every voxel is 1"])
    run = shutil.copytree(refined, tmp_path / "run")
    write_volume(run / "map.mrc", np.ones((BOX,) * 3), PIXEL_SIZE)
    check_refused(evaluate(folder=run), ["run/map.mrc", "constant"])
    check_refused(evaluate(options=["--symmetry", "X"]), ["X"])
    for diameter in ("0", "-1", "500", "nan"):
        check_refused(evaluate(options=["--particle-diameter", diameter]), [f"diameter is {diameter}", "140"])


def test_fsc_refuses(cryoinv, dataset, tmp_path):
    truth = dataset / "truth.mrc"
    write_volume(tmp_path / "big.mrc", random(*(BOX + 2,) * 3), PIXEL_SIZE)
    write_volume(tmp_path / "fine.mrc", random(*(BOX,) * 3), PIXEL_SIZE / 2)
    check_refused(cryoinv("fsc", truth, tmp_path / "none.mrc"), ["none.mrc"])
    check_refused(cryoinv("fsc", truth, tmp_path / "big.mrc"), ["big.mrc", "truth.mrc"])
    check_refused(cryoinv("fsc", truth, tmp_path / "fine.mrc"), ["fine.mrc", "3.5"])
    check_refused(cryoinv("fsc", truth, truth, "--mask", tmp_path / "big.mrc"), ["big.mrc", "mask"])
    check_refused(cryoinv("fsc", truth, truth, "--mask", tmp_path / "fine.mrc"), ["fine.mrc", "mask", "3.5"])
    write_volume(tmp_path / "flat.mrc", np.ones((BOX,) * 3), PIXEL_SIZE)
    check_refused(cryoinv("fsc", truth, tmp_path / "flat.mrc"), ["flat.mrc", "constant", "every voxel is 1"])
    check_refused(cryoinv("fsc", tmp_path / "flat.mrc", truth), ["flat.mrc", "constant"])
    corner, elsewhere = np.zeros((2, BOX, BOX, BOX))
    corner[0, 0, 0] = elsewhere[5, 5, 5] = 1
    write_volume(tmp_path / "corner.mrc", corner, PIXEL_SIZE)
    write_volume(tmp_path / "mask.mrc", elsewhere, PIXEL_SIZE)
    check_refused(
        cryoinv("fsc", truth, tmp_path / "corner.mrc", "--mask", tmp_path / "mask.mrc"),
        ["corner.mrc, under the mask", "mask.mrc", "constant"],
    )
    check_refused(cryoinv("fsc", truth, truth, "--csv", truth), ["truth.mrc", "input"])
    check_refused(
        cryoinv("fsc", truth, truth, "--csv", tmp_path / "c.csv", "--figure", tmp_path / "c.bmp"), ["c.bmp"]
    )
    assert not (tmp_path / "c.csv").exists()


def test_reconstruct_refuses(cryoinv, dataset, copy, tmp_path):
    check_refused(cryoinv("reconstruct", dataset / STAR, "--output", tmp_path / "m.mrc"), [STAR, "rlnAngleRot"])
    for option, value in (("--device", "cuda:99"), ("--symmetry", "C0"), ("--prior", "none")):
        check_refused(
            cryoinv("reconstruct", dataset / "truth.star", "--output", tmp_path / "m.mrc", option, value), [value]
        )
    shutil.copy(copy / "truth.star", copy / "part.star")
    edit(copy / "part.star", "rlnAngleTilt", "rlnAngleElse")
    check_refused(
        cryoinv("reconstruct", copy / "part.star", "--output", tmp_path / "m.mrc"),
        ["part.star", "no poses, rlnAngleTilt missing"],
    )
    for name in ("m.txt", "m.txt.gz"):
        check_refused(cryoinv("reconstruct", dataset / "truth.star", "--output", tmp_path / name), [name])
    check_refused(
        cryoinv("reconstruct", dataset / "truth.star", "--output", tmp_path / "m.mrc", "--symmetry", "Z"), ["Z"]
    )
    spoil_image(copy, np.nan)
    check_refused(cryoinv("reconstruct", copy / "truth.star", "--output", tmp_path / "m.mrc"), ["image 5", "NaN"])
    assert not (tmp_path / "m.mrc").exists()


def check_refused(outcome, words):
    assert outcome.code == 1, outcome.text
    assert outcome.out == "" and "Traceback" not in outcome.err and "unexpected" not in outcome.err
    errors = [line for line in outcome.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, outcome.err
    for word in words:
        assert word in errors[0], errors[0]
