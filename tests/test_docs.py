"""The documentation covers what is public, and the code on its pages runs."""

import doctest
import importlib
import inspect
import pkgutil
import re
import runpy
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

import cryoinv

DOC = Path(__file__).parents[1] / "doc"
ROOMS = [
    f"cryoinv.{module.name}"
    for module in pkgutil.iter_modules(cryoinv.__path__)
    if module.name not in ("__main__", "cli", "files")
]

pytestmark = pytest.mark.skipif(not DOC.is_dir(), reason="the documentation is not beside the tests")


def public_objects():
    for room in ROOMS:
        module = importlib.import_module(room)
        for name in getattr(module, "__all__", ()):
            item = getattr(module, name)
            if inspect.isclass(item) or inspect.isfunction(item):
                yield pytest.param(item, id=f"{room}.{name}")


def test_every_room_has_a_page():
    listed = re.findall(r"^   (cryoinv\.\w+)$", (DOC / "api_reference.rst").read_text(encoding="utf-8"), re.M)
    assert sorted(listed) == sorted(ROOMS)


def test_every_command_is_described():
    from typer.main import get_command

    from cryoinv.cli.main import app

    described = re.findall(r"^\.\. command:: (\w+)$", (DOC / "command_line.rst").read_text(encoding="utf-8"), re.M)
    assert sorted(described) == sorted(get_command(app).commands)


@pytest.mark.parametrize("item", public_objects())
def test_docstring_has_summary_parameters_and_result(item):
    numpydoc = pytest.importorskip("numpydoc.docscrape")
    is_class = inspect.isclass(item)
    doc = numpydoc.ClassDoc(item, config={"show_class_members": False}) if is_class else numpydoc.FunctionDoc(item)
    assert doc["Summary"]
    signature = inspect.signature(item.__init__ if is_class else item)
    entries = doc["Parameters"] + (doc["Attributes"] if is_class else [])
    described = {name.strip(" *") for entry in entries for name in entry.name.split(",")}
    wanted = {
        name for name in signature.parameters if not name.startswith("_") and name not in ("self", "args", "kwargs")
    }
    assert wanted <= described
    if not is_class and signature.return_annotation not in (None, "None", signature.empty):
        assert doc["Returns"] or doc["Yields"]


@pytest.mark.parametrize("page", [p.name for p in sorted(DOC.glob("*.rst")) if ">>>" in p.read_text(encoding="utf-8")])
def test_prompts_on_pages_give_what_they_show(page):
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    result = doctest.testfile(
        str(DOC / page), module_relative=False, globs={"np": np, "torch": torch}, optionflags=flags, encoding="utf-8"
    )
    assert result.attempted and not result.failed


@pytest.mark.slow
def test_tutorial_runs_when_made_small(tmp_path, monkeypatch, capsys):
    text = (DOC / "tutorials" / "first_refinement.rst").read_text(encoding="utf-8")
    blocks = re.findall(r"^\.\. (?:testcode:: tutorial|code-block:: python)\n\n((?:   .*\n|\n)+)", text, re.M)
    code = "\n".join(textwrap.dedent(block) for block in blocks)
    for large, small in (
        ("n=64, pixel_size=3.0, particles=400", "n=24, pixel_size=8.0, particles=40"),
        ("RefinementSettings(", "RefinementSettings(max_iterations=1, orientation_order=1, "),
    ):
        assert large in code
        code = code.replace(large, small)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tutorial.py").write_text(code, encoding="utf-8")
    runpy.run_path(str(tmp_path / "tutorial.py"))
    assert "angle median" in capsys.readouterr().out
