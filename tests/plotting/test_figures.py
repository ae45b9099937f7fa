"""Figures: what is drawn is the data, files are whole, and no global drawing state is touched."""

import subprocess
import sys

import matplotlib.image
import numpy as np
import pytest

from cryoinv.errors import InputError
from cryoinv.geometry import exp_rotation, matrix_from_euler, random_rotations
from cryoinv.plotting import (
    bars,
    canvas,
    fsc,
    orientations,
    plot_angular_errors,
    plot_bars,
    plot_central_slices,
    plot_fsc,
    plot_orientations,
    plot_resolution_history,
    pose_error,
    resolution,
    slices,
)

CURVE = np.array([1, 1, 0.9, 0.7, 0.3, 0.1, 0.0, 0.05, 0.0])
VOLUME = np.random.default_rng(0).standard_normal((9, 9, 9))
ROTATIONS = random_rotations(300, np.random.default_rng(1))
DRAW = {
    "fsc": lambda path: plot_fsc({"a": CURVE, "b": np.ones(9)}, 16, 2.0, path, title="T"),
    "slices": lambda path: plot_central_slices({"a": VOLUME, "b": 2 * VOLUME}, 2.0, path, title="T"),
    "orientations": lambda path: plot_orientations(ROTATIONS, path, title="T"),
    "history": lambda path: plot_resolution_history({"a": [30, 12, 9]}, path, 3.0, {2: "local"}, title="T"),
    "errors": lambda path: plot_angular_errors({"a": np.linspace(0, 180, 99)}, path, title="T"),
    "bars": lambda path: plot_bars({"time (s)": {"a": 3.0, "b": None}, "MiB": {"a": 9, "b": 8}}, path, title="T"),
}


@pytest.fixture
def drawn(monkeypatch):
    """Figures instead of files."""
    figures = []
    for module in (bars, fsc, slices, orientations, resolution, pose_error):
        monkeypatch.setattr(module, "save_figure", lambda figure, path: figures.append(figure))
    return figures


@pytest.mark.parametrize("name", DRAW)
def test_writes_a_whole_png_and_nothing_else(name, tmp_path):
    path = tmp_path / "figure.png"
    assert DRAW[name](path) == path
    pixels = matplotlib.image.imread(path)
    assert min(pixels.shape[:2]) > 300
    assert np.ptp(pixels[..., :3]) > 0.5
    assert [p.name for p in tmp_path.iterdir()] == ["figure.png"]


@pytest.mark.parametrize("name", DRAW)
def test_bad_paths_are_named(name, tmp_path):
    with pytest.raises(InputError, match=r"must end in .png"):
        DRAW[name](tmp_path / "figure.jpeg2")
    with pytest.raises(InputError, match="nowhere"):
        DRAW[name](tmp_path / "nowhere" / "figure.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix, start", [(".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_vector_formats(suffix, start, tmp_path):
    assert DRAW["history"](tmp_path / f"figure{suffix}").read_bytes().startswith(start)


def test_no_pyplot_and_a_light_import(tmp_path):
    code = (
        "import sys, cryoinv.plotting as p; assert 'matplotlib' not in sys.modules;"
        f"p.plot_resolution_history({{'a': [9, 8]}}, {str(tmp_path / 'x.png')!r});"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_fsc_axes(drawn):
    plot_fsc({"half-maps": CURVE, "flat": np.ones(9)}, 16, 2.0, "x.png")
    axes = drawn[0].axes[0]
    line = next(x for x in axes.lines if str(x.get_label()).startswith("half-maps"))
    np.testing.assert_allclose(line.get_xdata(), np.arange(9) / 32)
    np.testing.assert_allclose(line.get_ydata(), CURVE)
    assert line.get_label() == "half-maps: 9.14 Å at 0.5, 6.69 Å at 0.143"
    levels = {x.get_ydata()[0] for x in axes.lines if len(x.get_ydata()) == 2 and x.get_linestyle() == "--"}
    assert levels == {0.5, 0.143}
    top = axes.child_axes[0]
    labels = [float(t.get_text()) for t in top.get_xticklabels()]
    np.testing.assert_allclose(top.get_xticks(), 1 / np.array(labels))
    assert labels[0] == 4 or labels[-1] == 4


def test_fsc_below_zero_stays_in_view(drawn):
    plot_fsc({"a": -np.ones(9)}, 16, 2.0, "x.png")
    assert drawn[0].axes[0].get_ylim()[0] < -1


@pytest.mark.parametrize("pixel_size", [0.5, 1.07, 3.0, 12.0])
def test_resolution_labels_keep_apart(pixel_size, drawn):
    plot_fsc({"a": CURVE}, 16, pixel_size, "x.png")
    ticks = np.sort(drawn[0].axes[0].child_axes[0].get_xticks())
    assert len(ticks) >= 2 or pixel_size == 0.5
    assert (np.diff(ticks) >= 0.069 / (2 * pixel_size)).all()


def test_slices_are_the_central_planes(drawn):
    plot_central_slices({"a": VOLUME, "b": 5 * VOLUME}, 2.0, "x.png")
    images = [axes.get_images()[0] for axes in drawn[0].axes]
    np.testing.assert_array_equal(images[0].get_array(), VOLUME[4])
    np.testing.assert_array_equal(images[2].get_array(), VOLUME[:, 4])
    np.testing.assert_array_equal(images[5].get_array(), 5 * VOLUME[:, :, 4])
    assert images[1].get_clim() == pytest.approx(5 * np.array(images[0].get_clim()))
    plot_central_slices({"a": VOLUME, "b": 5 * VOLUME}, 2.0, "x.png", shared_scale=True)
    assert len({axes.get_images()[0].get_clim() for axes in drawn[1].axes}) == 1


@pytest.mark.parametrize("n, pixel_size", [(9, 2.0), (64, 3.0), (256, 1.07)])
def test_scale_bar_has_the_length_it_states(n, pixel_size, drawn):
    plot_central_slices({"a": np.arange(n**3).reshape(n, n, n)}, pixel_size, "x.png")
    axes = drawn[0].axes[2]
    begin, end = axes.lines[0].get_xdata()
    stated = float(axes.texts[0].get_text().removesuffix(" Å"))
    assert (end - begin) * pixel_size == pytest.approx(stated)
    assert n * pixel_size / 10 < stated <= n * pixel_size / 4


def test_orientation_density_is_relative_to_uniform_and_in_place():
    rng = np.random.default_rng(2)
    lon, lat, flat = orientations._density(random_rotations(20000, rng)[:, 2])
    area = np.diff(np.sin(lat))[:, None] * np.diff(lon)
    assert np.sum(flat * area) / (4 * np.pi) == pytest.approx(1, abs=0.01)
    assert flat.std() < 0.5
    views = exp_rotation(0.05 * rng.standard_normal((4000, 3))) @ matrix_from_euler([-100, 50, 10])
    lon, lat, peaked = orientations._density(views[:, 2])
    hot = peaked > 0.5 * peaked.max()
    rows, columns = np.nonzero(hot)
    assert np.rad2deg(lat[rows]).mean() == pytest.approx(90 - 50, abs=4)
    assert np.rad2deg(lon[columns]).mean() == pytest.approx(-100, abs=5)


def test_few_particles_are_drawn_one_by_one(drawn):
    plot_orientations(ROTATIONS[:20], "x.png")
    x, y = drawn[0].axes[0].lines[0].get_data()
    np.testing.assert_allclose(np.cos(y) * np.cos(x), ROTATIONS[:20, 2, 0])
    np.testing.assert_allclose(np.sin(y), ROTATIONS[:20, 2, 2])


def test_history_is_linear_in_frequency(drawn):
    plot_resolution_history({"a": [30, 12, 9], "b": [20, 10]}, "x.png", pixel_size=3.0, first_iteration=0)
    axes = drawn[0].axes[0]
    x, y = axes.lines[0].get_data()
    np.testing.assert_allclose(x, [0, 1, 2])
    np.testing.assert_allclose(1 / y, [30, 12, 9])
    for tick, label in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True):
        assert 1 / tick == pytest.approx(float(label.get_text()))


def test_error_histogram_counts_everyone(drawn):
    degrees = np.concatenate([[0.0, 180.0], 10 ** np.random.default_rng(3).uniform(-1, 2, 500)])
    plot_angular_errors({"a": degrees, "b": np.zeros(3)}, "x.png")
    axes = drawn[0].axes[0]
    for patch in axes.patches:
        assert patch.get_data().values.sum() == pytest.approx(100)
    assert axes.get_xlim()[1] == 180


def test_many_curves_are_told_apart(drawn):
    plot_fsc({str(k): CURVE for k in range(12)}, 16, 2.0, "x.png", ())
    plot_angular_errors({str(k): np.linspace(1, 9, 50) for k in range(12)}, "x.png")
    curves = [line for line in drawn[0].axes[0].lines if len(line.get_xdata()) == 9]
    looks = [(line.get_color(), str(line._unscaled_dash_pattern)) for line in curves]
    assert len(set(looks)) == len(looks) == 12
    assert not any(patch.get_fill() for patch in drawn[1].axes[0].patches)


def test_bars_have_their_lengths_and_say_what_is_not_known(drawn):
    plot_bars({"time (s)": {"a": 3.0, "b": 1.5}, "MiB": {"a": None, "b": 0.0}}, "x.png")
    left, right = drawn[0].axes
    assert [bar.get_width() for bar in left.patches] == [3.0, 1.5] and left.get_xlabel() == "time (s)"
    assert [text.get_text() for text in left.texts] == ["3", "1.5"]
    assert [text.get_text() for text in right.texts] == ["not known", "0"]
    assert left.yaxis_inverted() and left.get_xlim()[1] > 3


@pytest.mark.parametrize(
    "draw, message",
    [
        (lambda p: plot_bars({}, p), "no quantity"),
        (lambda p: plot_bars({"s": {}}, p), "no bar"),
        (lambda p: plot_bars({"s": {"a": 1.0}, "MiB": {"b": 1.0}}, p), "'MiB' has the names"),
        (lambda p: plot_bars({"s": {"a": -1.0}}, p), "negative or not finite"),
        (lambda p: plot_fsc({}, 16, 2.0, p), "no FSC curve"),
        (lambda p: plot_fsc({"a": CURVE[:4]}, 16, 2.0, p), "9 shells"),
        (lambda p: plot_fsc({"half": CURVE * np.nan}, 16, 2.0, p), "'half' is empty or not finite"),
        (lambda p: plot_central_slices({}, 2.0, p), "no map"),
        (lambda p: plot_central_slices({"m": VOLUME[1:]}, 2.0, p), "'m' must be cubic"),
        (lambda p: plot_orientations(np.eye(3), p), r"\(m, 3, 3\)"),
        (lambda p: plot_orientations(np.zeros((0, 3, 3)), p), "empty"),
        (lambda p: plot_resolution_history({"a": [0.0]}, p), "positive"),
        (lambda p: plot_resolution_history({"a": []}, p), "empty"),
        (lambda p: plot_angular_errors({}, p), "no angular error"),
    ],
)
def test_what_cannot_be_drawn_is_named(draw, message, tmp_path):
    with pytest.raises(InputError, match=message):
        draw(tmp_path / "x.png")
    assert not list(tmp_path.iterdir())


def test_round_labels_are_in_order():
    assert list(canvas._ROUND) == sorted(canvas._ROUND, reverse=True)
