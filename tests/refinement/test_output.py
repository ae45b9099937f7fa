"""What a refinement's folder consists of."""

import json

import numpy as np
import pytest

from cryoinv.errors import InputError
from cryoinv.refinement.output import (
    OUTPUT_FILES,
    IterationLog,
    make_folder,
    peak_memory_mib,
    remove_outputs,
    write_fsc_table,
    write_json,
)


def test_log_appends_lines_after_those_of_the_resumed_run(tmp_path):
    log = IterationLog(tmp_path / "new" / "run", [{"iteration": 1}])
    log.stage("grey scale", 0)
    assert not (tmp_path / "new").exists()
    log.stage("iteration 2", 10)
    log.iteration({"iteration": 2})
    log.stage("iteration 3", 10)
    log.iteration({"iteration": 3})
    lines = (tmp_path / "new" / "run" / "iterations.jsonl").read_text().splitlines()
    assert [json.loads(line)["iteration"] for line in lines] == [1, 2, 3]


def test_remove_outputs_leaves_everything_else(tmp_path):
    (tmp_path / "figures").mkdir()
    for name in (*OUTPUT_FILES, "mine.mrc"):
        (tmp_path / name).write_text("x")
    remove_outputs(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.mrc"]
    remove_outputs(tmp_path)


def test_fsc_table_states_shell_frequency_and_resolution(tmp_path):
    write_fsc_table(tmp_path / "fsc.csv", {"fsc": np.array([1.0, 0.5, 0.25])}, n=4, pixel_size=2.0)
    table = np.genfromtxt(tmp_path / "fsc.csv", delimiter=",", names=True)
    assert table["resolution_angstrom"].tolist() == [np.inf, 8.0, 4.0]
    assert table["frequency_per_angstrom"].tolist() == [0.0, 0.125, 0.25]
    assert table["fsc"].tolist() == [1.0, 0.5, 0.25]


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file/below"):
        make_folder(tmp_path / "file" / "below")


def test_json_is_never_written_with_numbers_no_reader_takes(tmp_path):
    with pytest.raises(ValueError):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert not list(tmp_path.iterdir())


def test_peak_memory_is_that_of_the_process():
    assert 10 < peak_memory_mib() < 1e6
