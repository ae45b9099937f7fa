"""`compare` in memory: the same problem for all, failures noted, tables that agree, a report that needs nothing."""

import base64
import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

import cryoinv
from cryoinv.comparison import Method, compare
from cryoinv.comparison.methods import BASELINE
from cryoinv.comparison.output import COMPARISON_FILES
from cryoinv.comparison.result import shells_to
from cryoinv.comparison.table import COLUMNS, UNKNOWN
from cryoinv.errors import InputError
from cryoinv.geometry import Poses
from cryoinv.io import read_volume, write_volume
from cryoinv.metrics import fourier_shell_correlation
from cryoinv.operators.mask import soft_sphere
from cryoinv.priors import GaussianPrior, Prior
from cryoinv.refinement import refine
from cryoinv.simulation import demo_structure, simulate_dataset

from .conftest import COUNT, HOSTILE, METHODS, PIXEL, QUICK, N


def test_every_method_gets_what_a_refinement_alone_would(compared, problem):
    found, _ = compared
    alone = refine(*problem[:2], GaussianPrior(tau2_fudge=2), settings=QUICK, device="cpu")
    result = found[HOSTILE]
    assert np.array_equal(result.map, alone.map.numpy()) and torch.equal(result.result.map, alone.map)
    assert np.array_equal(result.fsc_masked, alone.fsc_masked.numpy())
    row = next(row for row in found.rows() if row["method"] == HOSTILE)
    assert row["resolution_half_0143_angstrom"] == pytest.approx(alone.resolution.angstrom, abs=1e-4)
    assert row["iterations"] == 2 and row["wall_seconds"] > 0 and row["device"] == "cpu"
    assert row["peak_memory_mib"] is None  # it would be that of all methods so far


def test_the_mean_is_that_of_the_masked_curve_of_the_map_in_the_truths_frame(compared, problem):
    found, _ = compared
    result = found["gaussian"]
    sphere = soft_sphere(N, result.evaluation.particle_diameter / 2 / PIXEL).numpy()
    curve = fourier_shell_correlation(result.evaluation.map * sphere, problem[2].numpy() * sphere)
    assert found.rows()[0]["mean_fsc_truth_masked"] == pytest.approx(float(np.mean(curve[1:])), abs=1e-5)
    assert result.mean_truth_fsc(PIXEL, 36.0) == pytest.approx(float(np.mean(curve[1:5])), abs=1e-5)
    assert (shells_to(N, PIXEL, 36.0), shells_to(N, PIXEL, 35.9), shells_to(N, PIXEL, 1.0)) == (4, 4, 8)


def test_gains_are_over_the_masked_gaussian(compared):
    found, _ = compared
    assert not any(row["gain_over_masked_gaussian"] for row in found.rows())
    masked = replace(found.results[2], method=Method(type("Masked", (GaussianPrior,), {"name": BASELINE})()))
    other = replace(found, results=[found.results[0], masked, found.results[1]])
    means = [row["mean_fsc_truth_masked"] for row in other.rows()]
    gains = [row["gain_over_masked_gaussian"] for row in other.rows()]
    assert gains[0] == pytest.approx(means[0] - means[1], abs=2e-6) and gains[1:] == [0, None]
    assert "gain over masked Gaussian" in other.to_markdown() and "gain over" not in found.to_markdown()


def test_failures_are_noted_and_the_rest_goes_on(compared):
    found, _ = compared
    assert [result.finished for result in found.results] == [True, False, True, False]
    assert [result.label for result in found.failed] == ["Diverging()", "gaussian (2)"]
    assert "finite" in found["Diverging()"].error and "knowledge" in found["gaussian (2)"].error
    row = next(row for row in found.rows() if row["method"] == "Diverging()")
    assert row["status"] == "failed" and row["wall_seconds"] is None and row["mean_fsc_truth_masked"] is None
    assert [row["status"] for row in found.ranked()] == ["finished", "finished", "failed", "failed"]
    means = [row["mean_fsc_truth_masked"] for row in found.ranked()[:2]]
    assert means == sorted(means, reverse=True)


def test_csv_json_markdown_and_data_frame_say_the_same(compared):
    found, folder = compared
    written = list(csv.DictReader(io.StringIO((folder / "comparison.csv").read_text(encoding="utf-8"))))
    entries = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
    frame = found.to_dataframe()
    assert list(written[0]) == [column.name for column in COLUMNS] and len(written) == len(METHODS)
    for row, entry, original in zip(written, entries["methods"], found.rows(), strict=True):
        assert entry["method"] == row["method"] == original["method"]
        for column in COLUMNS:
            value, text = entry[column.name], row[column.name]
            assert value == original[column.name]
            if value is None or value == "":
                assert text == ""
            elif isinstance(value, bool):
                assert text == str(value).lower()
            elif isinstance(value, (int, float)):
                assert float(text) == value and frame.loc[row["method"], column.name] == value
    table = (folder / "comparison.md").read_text(encoding="utf-8")
    assert table == found.to_markdown()
    lines = [re.split(r"(?<!\\) \| ", line[2:-2]) for line in table.splitlines()]
    assert len(lines) == 2 + len(METHODS) and len({len(line) for line in lines}) == 1
    shown = dict(zip(lines[0], lines[2], strict=True))
    assert float(shown["mean FSC to truth, in sphere"]) == pytest.approx(
        found.ranked()[0]["mean_fsc_truth_masked"], abs=5e-5
    )
    assert UNKNOWN in lines[-1] and "<script>" not in table
    curve = entries["methods"][0]["curves"]["fsc_truth_masked"]
    assert len(curve) == len(entries["frequency_per_angstrom"]) == N // 2 + 1
    assert entries["methods"][0]["evaluation"] == found["gaussian"].evaluation.to_dict()
    assert entries["settings"]["seed"] == 0 and entries["versions"]["cryoinv"] == cryoinv.__version__


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.values, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.values += [value or "" for _, value in attrs]

    def handle_data(self, data):
        self.text += data


def test_the_report_needs_nothing_and_lets_no_label_through(compared):
    found, folder = compared
    text = (folder / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert not {"script", "link", "iframe", "a", "i"} & set(page.tags) and page.tags.count("img") == 7
    assert "<script" not in text
    assert not [value for value in page.values if re.match(r"\s*(https?:|//|file:|javascript:)", value)]
    assert not re.search(r"url\(|@import", text)
    assert HOSTILE in page.text and "no such thing as <i>prior</i> knowledge" in page.text
    for image in re.findall(r'src="([^"]*)"', text):
        kind, _, data = image.partition(",")
        assert kind == "data:image/png;base64" and base64.b64decode(data, validate=True).startswith(b"\x89PNG")
    for value in (found.ranked()[0]["mean_fsc_truth_masked"], found.ranked()[0]["angle_error_median_degrees"]):
        assert f"{value:.2f}" in page.text
    for word in ("seed", "GaussianPrior(tau2_fudge=2)", cryoinv.__version__, "Half of the particles", "not known"):
        assert word in page.text


def test_the_folder_is_whole(compared):
    _, folder = compared
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {name for name in files if not name.startswith("methods")} == set(COMPARISON_FILES)
    assert {"methods/gaussian/map.mrc", "methods/gaussian/summary.json"} <= files
    summary = json.loads((folder / "methods" / "gaussian" / "summary.json").read_text())
    assert summary["prior"] == "GaussianPrior()" and summary["peak_memory_mib"] is None


def test_going_on_gives_the_same(compared, problem):
    found, folder = compared
    with pytest.raises(InputError, match="not empty"):
        compare(*problem[:2], METHODS[:1], settings=QUICK, output=folder, device="cpu")
    again = compare(
        *problem[:2], METHODS[:1], *problem[2:], settings=QUICK, output=folder, device="cpu", resume=True
    )
    assert np.array_equal(again["gaussian"].map, found["gaussian"].map)
    with pytest.raises(InputError, match="max_shift"):
        other = type(QUICK)(**{**vars(QUICK), "max_shift": 9.0})
        compare(*problem[:2], METHODS[:1], settings=other, output=folder, device="cpu", resume=True)


def test_without_the_truth_the_half_maps_rank(problem, tmp_path):
    settings = type(QUICK)(**{**vars(QUICK), "max_iterations": 1, "orientation_order": 0})
    found = cryoinv.compare(*problem[:2], ["gaussian", GaussianPrior(tau2_fudge=4)], settings=settings, device="cpu")
    assert not found.has_truth and found.order[0] == "resolution_half_0143_masked_angstrom"
    with pytest.raises(KeyError, match="did you mean 'gaussian'"):
        found["gausian"]
    assert len(found) == 2 and found["gaussian"].evaluation is None and found["gaussian"].shown_map is not None
    report = found.write(tmp_path / "new")
    text = report.read_text(encoding="utf-8")
    assert "not known" in text and "angular error" not in Page(text).text
    figures = {path.name for path in (tmp_path / "new" / "figures").iterdir()}
    assert figures == {"fsc_half.png", "fsc_half_masked.png", "slices.png", "cost.png"}


def test_when_all_fail_there_is_still_a_report(problem, tmp_path):
    found = compare(*problem[:2], [METHODS[3]], settings=QUICK, device="cpu")
    assert "failed" in found.write(tmp_path).read_text(encoding="utf-8")
    assert not list((tmp_path / "figures").iterdir())


def test_files_serve_as_well_as_arrays(tmp_path):
    size = {"n": N, "pixel_size": PIXEL, "particles": 24}
    simulate_dataset(demo_structure(), tmp_path, **size, snr=2.0, max_shift=0.0)
    star, reference, truth, poses = (
        tmp_path / name for name in ("particles.star", "reference.mrc", "truth.mrc", "truth.star")
    )
    settings = type(QUICK)(**{**vars(QUICK), "max_iterations": 1, "orientation_order": 0})
    options = {"settings": settings, "device": "cpu"}
    found = compare(star, str(reference), ["gaussian"], truth, poses, **options)
    row = found.rows()[0]
    assert row["angle_error_median_degrees"] < 60 and 0 < row["mean_fsc_truth_masked"] < 1
    lines = poses.read_text().splitlines(keepends=True)
    poses.write_text("".join(line for line in lines if not line.startswith("000003@")))
    with pytest.raises(InputError, match=r"truth\.star.*1 of 24"):
        compare(star, reference, ["gaussian"], truth, poses, **options)
    write_volume(truth, read_volume(truth)[0], 2 * PIXEL)
    with pytest.raises(InputError, match=r"truth\.mrc.*pixel size"):
        compare(star, reference, ["gaussian"], truth, poses, **options)


def fails(problem, *arguments, **options):
    with pytest.raises(InputError) as refused:
        compare(*problem[:2], *arguments, settings=QUICK, device="cpu", **options)
    return str(refused.value)


def test_bad_input_is_refused_before_anything_runs(problem, tmp_path):
    stack, reference, truth, poses = problem
    lacking = Method(type("Nothing", (Prior,), {})(), label="mine")
    message = fails(problem, ["gaussian", lacking], output=tmp_path / "new")
    assert "'mine'" in message and "Nothing" in message and not (tmp_path / "new").exists()
    assert "no method" in fails(problem, [])
    assert "no true poses" in fails(problem, truth=truth)
    assert "no true map" in fails(problem, truth_poses=poses)
    assert "shape" in fails(problem, truth=truth[:8, :8, :8], truth_poses=poses)
    assert "constant" in fails(problem, truth=torch.zeros_like(truth), truth_poses=poses)
    assert str(COUNT) in fails(problem, truth=truth, truth_poses=Poses(poses.rotations[:3]))
    assert "positive" in fails(problem, finest=-1.0)
    with pytest.raises(InputError, match="box|voxels"):
        compare(stack, reference[:8, :8, :8], settings=QUICK, device="cpu")
