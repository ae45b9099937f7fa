"""Files, keys and exit codes that others rely on."""

import gzip
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from cryoinv.io import ParticleStack, read_star, read_volume
from cryoinv.refinement.output import OUTPUT_FILES

from .conftest import BOX, COUNT, PIXEL_SIZE, REFINE

EVALUATION_KEYS = {
    "resolution_truth_05_angstrom",
    "resolution_truth_05_masked_angstrom",
    "resolution_truth_0143_angstrom",
    "resolution_truth_0143_masked_angstrom",
    "angle_error_median_degrees",
    "angle_error_p90_degrees",
    "shift_error_median_angstrom",
}


def truth(dataset):
    return "--truth", dataset / "truth.mrc", "--truth-poses", dataset / "truth.star"


def test_simulate_writes_particles_and_truth(dataset):
    particles = ParticleStack.from_star(dataset / "particles.star")
    assert (len(particles), particles.n, particles.pixel_size) == (COUNT, BOX, PIXEL_SIZE)
    assert particles.poses is None and not particles.has_ctf
    assert len(ParticleStack.from_star(dataset / "truth.star").poses) == COUNT
    for name in ("truth.mrc", "reference.mrc"):
        volume, pixel_size = read_volume(dataset / name)
        assert volume.shape == (BOX,) * 3 and pixel_size == PIXEL_SIZE
    assert (dataset / "particles.mrcs").stat().st_size == 1024 + COUNT * BOX**2 * 4


def test_simulate_takes_maps_ctf_and_a_seed(cryoinv, dataset, tmp_path):
    def simulate(name, seed):
        outcome = cryoinv(
            "simulate",
            dataset / "truth.mrc",
            "--box",
            16,
            "--pixel-size",
            8.5,
            "--particles",
            3,
            "--snr",
            0.1,
            "--ctf",
            "--seed",
            seed,
            "--noise",
            "coloured",
            "--output",
            tmp_path / name,
        )
        assert outcome.code == 0, outcome.text
        return ParticleStack.from_star(tmp_path / name / "particles.star")

    first, again, other = simulate("a", 1), simulate("b", 1), simulate("c", 2)
    assert first.has_ctf and (first.images() == again.images()).all()
    assert not np.allclose(first.images(), other.images())


def test_simulate_replaces_a_data_set_only_when_told(cryoinv, copy, structure):
    arguments = ["simulate", structure, "--box", 16, "--pixel-size", 9, "--particles", 2, "--snr", 1, "--output", copy]
    refused = cryoinv(*arguments)
    assert refused.code == 1 and "particles.mrcs" in refused.err and "--overwrite" in refused.err
    assert len(ParticleStack.from_star(copy / "particles.star")) == COUNT
    assert cryoinv(*arguments, "--overwrite").code == 0
    assert len(ParticleStack.from_star(copy / "particles.star")) == 2


def test_refine_writes_every_file(refined, dataset):
    written = {str(p.relative_to(refined)) for p in refined.rglob("*") if p.is_file()}
    assert written == set(OUTPUT_FILES)
    for name in ("map.mrc", "half1.mrc", "half2.mrc"):
        volume, pixel_size = read_volume(refined / name)
        assert volume.shape == (BOX,) * 3 and pixel_size == pytest.approx(PIXEL_SIZE)
    particles = ParticleStack.from_star(refined / "particles.star")
    original = ParticleStack.from_star(dataset / "particles.star")
    assert (particles.images() == original.images()).all()
    assert set(particles.random_subset) == {1, 2} and len(particles.poses) == COUNT
    columns = read_star(refined / "particles.star")["particles"]
    assert (columns["rlnMaxValueProbDistribution"] > 0).all() and (columns["cryoinvPosteriorEntropy"] >= 0).all()
    assert not [p for p in refined.iterdir() if p.name.startswith(".")]


def test_summary_holds_the_contract(refined):
    summary = json.loads((refined / "summary.json").read_text())
    numbers = {
        "resolution_half_0143_angstrom", "resolution_half_0143_masked_angstrom", "iterations", "wall_seconds",
        "peak_memory_mib", "seed", "particle_diameter_angstrom",
    }  # fmt: skip
    for key in numbers:
        assert isinstance(summary[key], (int, float)) and summary[key] >= 0, key
    assert summary["device"] == "cpu" and summary["iterations"] == 2 and summary["prior"] == "gaussian"
    assert summary["reached_nyquist"] is summary["resolution_half_0143_reached_nyquist"]


def test_curve_and_records_agree_with_the_summary(refined):
    summary = json.loads((refined / "summary.json").read_text())
    curve = np.genfromtxt(refined / "fsc.csv", delimiter=",", names=True)
    assert curve.dtype.names == ("shell", "frequency_per_angstrom", "resolution_angstrom", "fsc", "fsc_masked")
    assert len(curve) == BOX // 2 + 1 and curve["resolution_angstrom"][2] == pytest.approx(BOX * PIXEL_SIZE / 2)
    records = [json.loads(line) for line in (refined / "iterations.jsonl").read_text().splitlines()]
    assert [r["iteration"] for r in records] == [1, 2] and summary["iterations"] == 2


def test_refine_tells_the_result_and_an_iteration_a_line(refinement):
    folder, outcome = refinement
    assert len(re.findall(r"^iteration +\d:", outcome.err, re.MULTILINE)) == 2
    for word in ("half-maps", "sphere", "iterations", "time", str(folder)):
        assert word in outcome.out


def test_same_seed_same_result(cryoinv, refined, dataset, tmp_path):
    def refine(folder, seed):
        outcome = cryoinv(
            "refine",
            dataset / "particles.star",
            "--reference",
            dataset / "reference.mrc",
            "--output",
            folder,
            *REFINE,
            "--seed",
            seed,
        )
        assert outcome.code == 0, outcome.text
        return (folder / "map.mrc").read_bytes(), (folder / "fsc.csv").read_bytes()

    before = (refined / "map.mrc").read_bytes(), (refined / "fsc.csv").read_bytes()
    assert refine(tmp_path / "same", 0) == before
    assert refine(tmp_path / "other", 1) != before


def test_resumed_run_equals_an_undisturbed_one(cryoinv, refined, dataset, tmp_path, monkeypatch):
    from cryoinv.cli.progress import RefinementProgress

    folder = tmp_path / "run"
    arguments = ["refine", dataset / "particles.star", "--reference", dataset / "reference.mrc", "--output", folder]
    told = RefinementProgress.iteration

    def interrupt(self, record):
        told(self, record)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RefinementProgress, "iteration", interrupt)
        stopped = cryoinv(*arguments, *REFINE)
    assert stopped.code == 130 and "--resume" in stopped.err and "Traceback" not in stopped.text
    assert {p.name for p in folder.iterdir()} == {"checkpoint.npz", "iterations.jsonl"}
    # The line of an iteration can be lost between its checkpoint and the log.
    (folder / "iterations.jsonl").write_text('{"half": ')
    refused = cryoinv(*arguments, *REFINE)
    assert refused.code == 1 and "--resume" in refused.err and "--overwrite" in refused.err
    resumed = cryoinv(*arguments, *REFINE, "--resume")
    assert resumed.code == 0 and "resuming after iteration 1" in resumed.err
    for name in ("map.mrc", "half1.mrc", "fsc.csv", "particles.star"):
        text = (folder / name).read_bytes()
        if name == "particles.star":
            assert len(text) > 1000
        assert _without_paths(text) == _without_paths((refined / name).read_bytes()), name
    records = [json.loads(line) for line in (folder / "iterations.jsonl").read_text().splitlines()]
    undisturbed = [json.loads(line) for line in (refined / "iterations.jsonl").read_text().splitlines()]
    for a, b in zip(records, undisturbed, strict=True):
        assert {k: v for k, v in a.items() if k != "seconds"} == {k: v for k, v in b.items() if k != "seconds"}


def _without_paths(content):
    return re.sub(rb"@\S+", b"@", content)


def test_resume_without_a_checkpoint_starts_afresh_and_says_so(cryoinv, dataset, tmp_path):
    outcome = cryoinv(
        "refine",
        dataset / "particles.star",
        "--reference",
        dataset / "reference.mrc",
        "--output",
        tmp_path / "run",
        *REFINE,
        "--max-iterations",
        1,
        "--resume",
    )
    assert outcome.code == 0 and "no checkpoint" in outcome.err


@pytest.mark.parametrize("left", ["all", "map.mrc", "figures/fsc.png"])
def test_resume_without_a_checkpoint_replaces_no_results(left, cryoinv, refined, dataset, tmp_path):
    folder = shutil.copytree(refined, tmp_path / "run")
    for name in OUTPUT_FILES:
        if name == "checkpoint.npz" or left not in ("all", name):
            (folder / name).unlink()
    before = snapshot(folder)
    arguments = ["refine", dataset / "particles.star", "--reference", dataset / "reference.mrc", "--output", folder]
    outcome = cryoinv(*arguments, *REFINE, "--resume")
    assert outcome.code == 1 and "no checkpoint.npz to go on from; use --overwrite" in outcome.err
    assert snapshot(folder) == before


def test_resume_of_a_run_killed_before_its_first_checkpoint_starts_afresh(cryoinv, dataset, tmp_path):
    for name in ("iterations.jsonl", ".cryoinv.lock", ".0123456789ab.checkpoint.npz", "notes.txt"):
        (tmp_path / name).touch()
    arguments = ["refine", dataset / "particles.star", "--reference", dataset / "reference.mrc", "--output", tmp_path]
    outcome = cryoinv(*arguments, *REFINE, "--max-iterations", 1, "--resume")
    assert outcome.code == 0 and "no checkpoint" in outcome.err
    assert {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()} == {*OUTPUT_FILES, "notes.txt"}


def test_resume_refuses_a_checkpoint_of_another_run(cryoinv, refined, dataset):
    before = snapshot(refined)
    outcome = cryoinv(
        "refine",
        dataset / "particles.star",
        "--reference",
        dataset / "reference.mrc",
        "--output",
        refined,
        *REFINE,
        "--seed",
        5,
        "--resume",
    )
    assert outcome.code == 1 and "checkpoint.npz" in outcome.err
    assert snapshot(refined) == before


def test_overwrite_removes_only_its_own_files(cryoinv, dataset, tmp_path):
    folder = tmp_path / "run"
    (folder / "figures").mkdir(parents=True)
    for name in ("notes.txt", "figures/mine.png", "map.mrc", "half1.mrc", "summary.json"):
        (folder / name).write_text("old")
    arguments = [
        "refine",
        dataset / "particles.star",
        "--reference",
        dataset / "reference.mrc",
        "--output",
        folder,
        *REFINE,
        "--max-iterations",
        1,
    ]
    assert cryoinv(*arguments).code == 1
    assert cryoinv(*arguments, "--prior", "nonsense", "--overwrite").code == 1
    assert (folder / "map.mrc").read_text() == "old"
    assert cryoinv(*arguments, "--overwrite").code == 0
    assert (folder / "notes.txt").read_text() == (folder / "figures" / "mine.png").read_text() == "old"
    assert read_volume(folder / "map.mrc")[0].shape == (BOX,) * 3


def test_refine_does_not_replace_its_own_input(cryoinv, copy):
    before = snapshot(copy)
    outcome = cryoinv(
        "refine",
        copy / "particles.star",
        "--reference",
        copy / "reference.mrc",
        "--output",
        copy,
        *REFINE,
        "--overwrite",
    )
    assert outcome.code == 1 and "particles.star" in outcome.err and "input" in outcome.err
    assert snapshot(copy) == before


def test_evaluate_prints_one_json_object(cryoinv, refined, dataset):
    outcome = cryoinv("evaluate", refined, *truth(dataset), "--json")
    assert outcome.code == 0, outcome.text
    found = json.loads(outcome.out)
    assert set(found) >= EVALUATION_KEYS
    assert all(isinstance(found[key], float) for key in EVALUATION_KEYS)
    assert found["angle_error_median_degrees"] < 15 and found["mirrored"] is False
    assert found["resolution_truth_05_reached_nyquist"] in (True, False)
    assert 2 * PIXEL_SIZE <= found["resolution_truth_05_masked_angstrom"] < 40


def test_a_perfect_map_reaches_the_nyquist(cryoinv, refined, dataset, tmp_path):
    perfect = tmp_path / "perfect"
    shutil.copytree(refined, perfect)
    shutil.copy(dataset / "truth.mrc", perfect / "map.mrc")
    found = json.loads(cryoinv("evaluate", perfect, *truth(dataset), "--json").out)
    assert found["reached_nyquist"] is True and found["resolution_truth_05_masked_reached_nyquist"] is True
    assert found["resolution_truth_05_angstrom"] == 2 * PIXEL_SIZE


def test_poses_in_the_input_are_not_used(cryoinv, refined, dataset, tmp_path):
    outcome = cryoinv(
        "refine", dataset / "truth.star", "--reference", dataset / "reference.mrc", *REFINE, "--output", tmp_path / "r"
    )
    assert outcome.code == 0, outcome.text
    assert (tmp_path / "r" / "map.mrc").read_bytes() == (refined / "map.mrc").read_bytes()


def test_evaluate_prints_a_table_and_draws(cryoinv, refined, dataset, tmp_path):
    outcome = cryoinv("evaluate", refined, *truth(dataset), "--particle-diameter", 120, "--figures", tmp_path / "f")
    assert outcome.code == 0, outcome.text
    assert "median" in outcome.out and "same hand" in outcome.out
    assert {p.name for p in (tmp_path / "f").iterdir()} == {
        "fsc_truth.png", "slices_truth.png", "angular_errors.png"
    }  # fmt: skip


def test_paths_with_spaces_from_the_working_folder(cryoinv, dataset, tmp_path, monkeypatch):
    shutil.copytree(dataset, tmp_path / "my data")
    monkeypatch.chdir(tmp_path)
    star, reference = Path("my data/particles.star"), Path("my data/reference.mrc")
    outcome = cryoinv("refine", star, "--reference", reference, "--output", "my run", *REFINE, "--max-iterations", 1)
    assert outcome.code == 0 and "spaces" not in outcome.err, outcome.text
    found = ParticleStack.from_star(tmp_path / "my run" / "particles.star")
    assert (found.images() == ParticleStack.from_star(star).images()).all()
    evaluated = cryoinv(
        "evaluate", "my run", "--truth", "my data/truth.mrc", "--truth-poses", "my data/truth.star", "--json"
    )
    assert evaluated.code == 0 and set(json.loads(evaluated.out)) >= EVALUATION_KEYS


def test_reference_may_be_gzipped_and_symmetry_and_an_odd_box_and_no_ctf_work(cryoinv, structure, tmp_path):
    (tmp_path / "s.cif.gz").write_bytes(gzip.compress(structure.read_bytes()))
    outcome = cryoinv(
        "simulate", tmp_path / "s.cif.gz", "--box", 21, "--pixel-size", 6.7, "--particles", 8, "--snr", 1,
        "--max-shift", 0, "--ctf", "--output", tmp_path / "data",
    )  # fmt: skip
    assert outcome.code == 0, outcome.text
    packed = gzip.compress((tmp_path / "data" / "reference.mrc").read_bytes())
    (tmp_path / "reference.map.gz").write_bytes(packed)
    for name, options, applied in (("with", [], True), ("without", ["--no-ctf"], False)):
        outcome = cryoinv(
            "refine", tmp_path / "data" / "particles.star", "--reference", tmp_path / "reference.map.gz",
            "--output", tmp_path / name, *REFINE, "--max-iterations", 1, "--symmetry", "C2", *options,
        )  # fmt: skip
        assert outcome.code == 0, outcome.text
        summary = json.loads((tmp_path / name / "summary.json").read_text())
        assert summary["ctf_applied"] is applied and summary["symmetry"] == "C2" and summary["box_pixels"] == 21


def test_reconstruct_from_known_poses(cryoinv, dataset, tmp_path):
    output = tmp_path / "new" / "map.mrc"
    outcome = cryoinv("reconstruct", dataset / "truth.star", "--output", output, "--half-maps")
    assert outcome.code == 0, outcome.text
    names = {p.name for p in output.parent.iterdir()}
    assert names == {"map.mrc", "map_half1.mrc", "map_half2.mrc"}
    outcome = cryoinv("fsc", output, dataset / "truth.mrc", "--json")
    assert json.loads(outcome.out)["fsc"][2] > 0.95
    again = cryoinv("reconstruct", dataset / "truth.star", "--output", output)
    assert again.code == 1 and "--overwrite" in again.err


def test_fsc_prints_shells_and_crossings(cryoinv, refined, dataset, tmp_path):
    maps = refined / "half1.mrc", refined / "half2.mrc"
    table = cryoinv("fsc", *maps, "--csv", tmp_path / "c.csv", "--figure", tmp_path / "c.png")
    assert table.code == 0 and "0.143" in table.out and len(table.out.splitlines()) >= BOX // 2 + 3
    assert (tmp_path / "c.csv").exists() and (tmp_path / "c.png").exists()
    curve = json.loads(cryoinv("fsc", *maps, "--json").out)
    summary = json.loads((refined / "summary.json").read_text())
    assert curve["resolution_0143_angstrom"] == pytest.approx(summary["resolution_half_0143_angstrom"], rel=1e-3)
    same = json.loads(cryoinv("fsc", maps[0], maps[0], "--mask", dataset / "truth.mrc", "--json").out)
    assert same["resolution_05_reached_nyquist"] is True
    assert same["resolution_05_angstrom"] == pytest.approx(2 * PIXEL_SIZE)


def snapshot(folder):
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_and_memory_are_those_asked_for(threads, cryoinv, dataset, tmp_path):
    places = ["--reference", dataset / "reference.mrc", "--output", tmp_path / "run"]
    few = ["--max-iterations", "1", "--max-shift", "0", "--device", "cpu", "--memory", "64"]
    outcome = cryoinv("refine", dataset / "particles.star", *places, *few, "--threads", threads)
    assert outcome.code == 0, outcome.text
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["threads"] == threads and summary["settings"]["memory_bytes"] == 64 << 20
