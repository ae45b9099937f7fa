"""Configuration of the documentation; build with ``python -m sphinx -W --keep-going -b html doc doc/_build/html``."""

import inspect
import os
import sys
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "agg")
sys.path[:0] = [str(Path(__file__).parent / "_ext"), str(Path(__file__).parents[1])]

import sphinx.ext.autosummary  # noqa: E402

import cryoinv  # noqa: E402, F401  (fails here, not in a hundred warnings, where it cannot be imported)

project = "cryoinv"
author = "the cryoinv developers"
copyright = author
version = release = "0.1"

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.doctest",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "command_options",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_ext", "_templates"]
default_role = "py:obj"
highlight_language = "python"
nitpicky = False

# --- API pages: one a room, from its __all__ --------------------------------------------------------------------

autosummary_generate = True
autosummary_generate_overwrite = True
autosummary_imported_members = True
autosummary_ignore_module_all = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say types, with shapes and units
autodoc_preserve_defaults = True
sphinx.ext.autosummary.WELL_KNOWN_ABBREVIATIONS += ("eq.", "eqs.")  # no end of a sentence
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
add_module_names = False
toc_object_entries_show_parents = "hide"
doctest_test_doctest_blocks = ""  # docstrings are tested by pytest; here only the pages' testcode blocks

# --- examples ---------------------------------------------------------------------------------------------------

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"plot_",
    "ignore_pattern": r"(^|/)(?!plot_)[^/]*\.py$",
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,
    "remove_config_comments": True,
    "capture_repr": (),
    "reference_url": {},
}

# --- HTML -------------------------------------------------------------------------------------------------------

html_theme = "pydata_sphinx_theme"
html_title = "cryoinv"
html_static_path = ["_static"]
html_css_files = ["cryoinv.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "show_prev_next": False,
    "navigation_with_keys": False,
    "show_toc_level": 1,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {"index": [], "conventions": [], "mathematics": [], "command_line": []}


def own_signature(app, what, name, item, options, signature, returns):
    """Signature of a class's own ``__init__`` where a base class (ODL's) hides it behind ``*args, **kwargs``."""
    if what != "class" or signature != "(*args, **kwargs)":
        return None
    parameters = list(inspect.signature(item.__init__).parameters.values())[1:]
    shown = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in parameters]
    return str(inspect.Signature(shown)), returns


def setup(app):
    """Connect the hook above."""
    app.connect("autodoc-process-signature", own_signature)
