"""The documentation covers what is public, and the code on its pages runs."""

import ast
import doctest
import importlib
import inspect
import io
import pkgutil
import re
import runpy
import shlex
import subprocess
import sys
import textwrap
import tokenize
from pathlib import Path

import numpy as np
import pytest
import torch

import cryoinv
from cryoinv.cli import method
from cryoinv.comparison import MethodWords, default_methods
from cryoinv.denoisers import DENOISERS
from cryoinv.networks import GatedResidualNetwork, write_network
from cryoinv.priors import PRIORS, prior_from
from cryoinv.solvers import M_STEPS, SOLVERS, MStep, OuterSolver, m_step_for, m_step_from

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


NAMES = {
    "priors": (PRIORS, method.PRIOR_NAMES),
    "M-steps": (M_STEPS, method.M_STEP_NAMES),
    "solvers": (SOLVERS, method.SOLVER_NAMES),
    "denoisers": (DENOISERS, method.DENOISER_NAMES),
}


@pytest.mark.parametrize("kind", NAMES)
def test_help_texts_name_what_there_is(kind):
    registry, in_help = NAMES[kind]
    assert in_help == ", ".join(registry)


def test_help_of_compare_names_the_default_methods():
    assert ", ".join(default_methods()) == method.DEFAULT_METHODS


def test_help_is_shown_without_importing_torch():
    code = "import sys, cryoinv.cli.main; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


@pytest.mark.parametrize("kind", NAMES)
def test_pages_name_what_there_is(kind):
    pages = "\n".join(page.read_text(encoding="utf-8") for page in DOC.glob("*.rst"))
    lacking = [name for name in NAMES[kind][0] if not re.search(rf"``{re.escape(name)}(``|[,\[])", pages)]
    assert not lacking


def table_of_priors():
    """Rows of the table of all priors, as lists of cells, by name."""
    table = re.search(r":class: priors\n\n(.*?)\n\n", (DOC / "priors.rst").read_text(encoding="utf-8"), re.S)
    rows = [re.split(r"\n {5}- ", row.strip()) for row in re.split(r"^   \* - ", table[1], flags=re.M)[2:]]
    return {re.match(r"``(.+?)``", row[0])[1]: row for row in rows}


def test_table_of_priors_is_true():
    rows = table_of_priors()
    assert list(rows) == list(PRIORS)
    for name, (_, kind, _, offers, m_step, denoiser, guard, _) in rows.items():
        prior = prior_from(name)
        assert kind == f"`{type(prior).__name__} <cryoinv.priors.{type(prior).__name__}>`"
        letters = {"v": "value", "g": "gradient", "p": "proximal", "d": "precision", "c": "correction"}
        assert [letters[each] for each in offers.split()] == prior.offers(), name
        assert repr(m_step_from(m_step.strip("`"))) == repr(m_step_for(prior)), name
        made_of = getattr(prior, "denoiser", None)
        told = [] if made_of is None else [each.name for each in getattr(made_of, "denoisers", (made_of,))]
        assert re.findall("``(.+?)``", denoiser) == told, name
        assert (guard == "yes") == ("guard" in inspect.signature(type(prior)).parameters), name


def options_on_pages():
    """Methods that the pages spell out for a command, one list of words each."""
    for page in (*sorted(DOC.glob("*.rst")), DOC.parent / "README.md"):
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        for line in re.findall(r"^ +(?:\$ )?(?:cryoinv (?:refine|compare) .*)?(--prior .*)", text, re.M):
            yield pytest.param(line, id=" ".join(line.split())[8:])


@pytest.mark.parametrize("line", options_on_pages())
def test_methods_on_pages_can_be_made(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("own_prior.py").write_bytes((DOC.parent / "examples" / "own_prior.py").read_bytes())
    Path("trained").mkdir()
    for file in ("network.safetensors", "trained/weights.safetensors"):
        write_network(file, GatedResidualNetwork(width=4, depth=1), (3.0, 3.0))
    words = shlex.split(line)
    said = list(zip(words[::2], words[1::2], strict=True))
    others = {option[2:].replace("-", "_"): spec for option, spec in said if option != "--prior"}
    for spec in (spec for option, spec in said if option == "--prior"):
        assert method.method_from(spec, **others) if others else MethodWords.parsed(spec).made()


NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def lines_of_code(source):
    """Lines with code: no documentation, comments, blank lines or imports."""
    left_out = [node for node in ast.walk(ast.parse(source)) if is_import(node) or is_text(node)]
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in left_out:
        lines.difference_update(range(node.lineno, node.end_lineno + 1))
    return len(lines)


def is_import(node):
    return isinstance(node, (ast.Import, ast.ImportFrom))


def is_text(node):
    """Whether it is a string on its own, as documentation is."""
    return isinstance(node, ast.Expr) and isinstance(getattr(node.value, "value", None), str)


def test_lines_of_code_are_counted():
    source = """
        'About.'

        import os
        # why
        x = (
            1,
        )
        def f():
            '''Do
            it.'''
            return x
        """
    assert lines_of_code(textwrap.dedent(source)) == 5


@pytest.mark.parametrize("name", PRIORS)
def test_a_prior_reads_on_a_screen(name):
    source = Path(inspect.getfile(PRIORS[name])).read_text(encoding="utf-8")
    assert lines_of_code(source) <= 80


def loops():
    kinds = {getattr(make, "func", make) for make in M_STEPS.values()} | set(SOLVERS.values())
    kinds |= {base for kind in kinds for base in kind.__mro__ if issubclass(base, (MStep, OuterSolver))}
    return sorted(kinds, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", loops())
def test_a_solver_reads_on_a_screen(kind):
    assert lines_of_code(textwrap.dedent(inspect.getsource(kind))) <= 80


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
