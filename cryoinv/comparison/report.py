"""The report: one HTML file that needs nothing else, for readers who have not seen the program."""

from __future__ import annotations

import base64
import inspect
import re
import shlex
from collections.abc import Iterable, Mapping
from html import escape

from .figures import FIGURES
from .table import COLUMNS, UNKNOWN, Column, Comparison, Row

__all__ = ["report_html"]

# Nothing is loaded from anywhere, and no script runs: a label or an error can do no harm in it.
_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }}
h1, h2 {{ line-height: 1.2; }} h2 {{ margin-top: 2.5rem; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-size: 0.85rem; }}
th, td {{ padding: 0.3rem 0.6rem; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top; }}
thead th {{ border-bottom: 2px solid #888; vertical-align: bottom; }}
.number {{ text-align: right; font-variant-numeric: tabular-nums; }}
.best {{ font-weight: bold; }} .failed {{ color: #a02020; }}
img {{ max-width: 100%; height: auto; }} figure {{ margin: 1rem 0; }} figcaption {{ color: #444; }}
pre {{ background: #f4f4f4; padding: 0.7rem; overflow-x: auto; white-space: pre-wrap; }}
.note {{ background: #fff6e0; border-left: 4px solid #d09000; padding: 0.5rem 1rem; }}
</style>
</head>
<body>
"""
_PARTS = ("prior", "m_step", "solver", "output_prior", "output_m_step")
_IN_LINE = ("method", "status", *_PARTS, "folder", "error", "device")


def report_html(comparison: Comparison, images: Mapping[str, bytes]) -> str:
    """Write the report.

    Parameters
    ----------
    comparison : Comparison
        What is reported.
    images : mapping of str to bytes
        PNG files by their names in `FIGURES`.

    Returns
    -------
    str
        HTML.
    """
    title = f"Comparison of {len(comparison)} method{'s' * (len(comparison) != 1)} of reconstruction"
    rows = comparison.ranked()
    sections = [
        f"<h1>{_text(title)}</h1>",
        _introduction(comparison),
        f"<h2>Result</h2>{_verdict(comparison, rows)}{_table(comparison, rows)}",
        _warnings(comparison),
        _figures(images),
        _definitions(comparison, rows),
        _methods(comparison, rows),
        _provenance(comparison),
    ]
    return _HEAD.format(title=_text(title)) + "\n".join(filter(None, sections)) + "\n</body>\n</html>\n"


def _introduction(comparison: Comparison) -> str:
    truth = (
        "The true map and the true poses are given, and every result is held against them. The frame of a map is not "
        "determined by its images: rotation, displacement and hand are found from the poses and undone first."
        if comparison.has_truth
        else "The true map is not known: the half-maps' agreement is all there is to judge by, and a prior can lead "
        "both halves astray in the same way."
    )
    box = f"{comparison.n} pixels of {comparison.pixel_size:.4g} Å"
    return (
        "<p>Single-particle cryo-EM reconstructs a map from many noisy projections whose orientations are unknown. "
        "What the images leave open is decided by a <em>prior</em>. Here the same "
        f"{comparison.particles:,} particle images ({_text(box)}) were refined from the same starting map, with the "
        "same half-sets, seed and schedule, and only the prior, or the way to solve with it, was changed.</p>"
        f"<p>{truth}</p>"
    )


def _verdict(comparison: Comparison, rows: list[Row]) -> str:
    name, _ = comparison.order
    column = _column(name)
    known = [row for row in rows if row[name] is not None]
    said = []
    if known:
        ranking = ", ".join(f"{_text(row['method'])} ({column.text(row)})" for row in known)
        said.append(f"<p>By {_text(column.title)}, the best first: {ranking}.</p>")
    if comparison.failed:
        labels = ", ".join(_text(result.label) for result in comparison.failed)
        said.append(f'<p class="failed">No result, for the reasons given below: {labels}.</p>')
    said.append(
        '<p class="note">One data set and one seed: differences as small as those between two seeds mean nothing. '
        "Repeat the comparison with other seeds and data before you conclude.</p>"
    )
    return "".join(said)


def _table(comparison: Comparison, rows: list[Row]) -> str:
    columns = [c for c in comparison.known_columns(rows) if c.name not in _IN_LINE[2:]]
    head = "".join(f"<th{_class(column)}>{_text(column.title)}</th>" for column in columns)
    best = {column.name: _best(column, rows) for column in columns}
    body = []
    for row in rows:
        cells = [
            f"<td{_class(column, column.text(row) == best[column.name], row)}>"
            f"{_text(column.text(row))}</td>"
            for column in columns
        ]
        body.append(f"<tr>{''.join(cells)}</tr>")
    note = (
        f"<p>Bold: best of its column. {UNKNOWN}: not known. Mean FSC: over shells down to "
        f"{comparison.finest:.4g} Å.</p>"
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>{note}'


def _best(column: Column, rows: list[Row]) -> str | None:
    """Text of the best value; None where none is better than others as it is shown."""
    known = [row for row in rows if row[column.name] is not None]
    if not column.better or len({column.text(row) for row in known}) < 2:
        return None
    sign = 1 if column.better == "lower" else -1
    return column.text(min(known, key=lambda row: sign * row[column.name]))


def _class(column: Column, best: bool = False, row: Row | None = None) -> str:
    failed = row is not None and column.name == "status" and row["status"] == "failed"
    names = [("number", column.digits is not None), ("best", best), ("failed", failed)]
    chosen = " ".join(name for name, wanted in names if wanted)
    return f' class="{chosen}"' if chosen else ""


def _warnings(comparison: Comparison) -> str:
    items = []
    for result in comparison.results:
        if result.error:
            items.append(f'<li class="failed"><b>{_text(result.label)}</b> failed: {_text(result.error)}</li>')
        warnings = result.summary.get("warnings", [])
        items += [f"<li><b>{_text(result.label)}</b>: {_text(text)}</li>" for text in warnings]
    return f"<h2>Warnings</h2><ul>{''.join(items)}</ul>" if items else ""


def _figures(images: Mapping[str, bytes]) -> str:
    shown = []
    for name, (title, reading) in FIGURES.items():
        if name in images:
            source = f"data:image/png;base64,{base64.b64encode(images[name]).decode()}"
            shown.append(
                f'<figure><h3>{_text(title)}</h3><img alt="{_text(title)}" src="{source}">'
                f"<figcaption>{_text(reading)}</figcaption></figure>"
            )
    return f"<h2>Figures</h2>{''.join(shown)}" if shown else ""


def _definitions(comparison: Comparison, rows: list[Row]) -> str:
    columns = [column for column in comparison.known_columns(rows) if column.meaning]
    entries = [(_text(column.title), _text(column.meaning)) for column in columns]
    entries += [
        (
            "Fourier shell correlation (FSC)",
            "Correlation of the Fourier coefficients of two maps on shells of equal spatial frequency.",
        ),
        (
            "resolution",
            "1 / spatial frequency where an FSC curve first falls below a threshold, interpolated between shells; "
            "&quot;(Nyquist)&quot; where it never does: the pixels allow no finer one.",
        ),
        ("sphere", f"A soft sphere of the particle's diameter, {_diameter(comparison)}; the solvent is outside."),
    ]
    return f"<h2>What the numbers mean</h2>{_pairs(entries)}"


def _diameter(comparison: Comparison) -> str:
    known = [result.summary.get("particle_diameter_angstrom") for result in comparison.results]
    return next((f"{value:.4g} Å" for value in known if value is not None), "not known here")


def _methods(comparison: Comparison, rows: list[Row]) -> str:
    about = {result.label: _about(result.method.prior) for result in comparison.results}
    entries = [(_text(row["method"]), _text(about[row["method"]])) for row in rows]
    columns = [_column(name) for name in _IN_LINE if name not in ("status", "error")]
    columns = [column for column in columns if any(row[column.name] for row in rows)]
    head = "".join(f"<th>{_text(column.title)}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(f'<td>{_text(c.text(row))}</td>' for c in columns)}</tr>" for row in rows)
    return (
        f"<h2>Methods</h2><p>The priors in a sentence:</p>{_pairs(entries)}"
        "<p>What each part prints, with the options that are not the default:</p>"
        f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _about(prior: object) -> str:
    """First paragraph of the prior's documentation, without marks for typesetting."""
    paragraph = " ".join((inspect.getdoc(type(prior)) or UNKNOWN).split("\n\n")[0].split())
    return re.sub(r":math:`([^`]*)`", r"\1", paragraph).replace("``", "")


def _provenance(comparison: Comparison) -> str:
    origin = dict(comparison.origin)
    command = origin.pop("command", None)
    shown = f"<p>The command:</p><pre>{_text(shlex.join(command))}</pre>" if command else ""
    versions = origin.pop("versions", {})
    known = {name: value for name, value in {**origin, **versions}.items() if value is not None}
    entries = [(_text(_words(name)), _text(value)) for name, value in known.items()]
    settings = [(_text(k), _text(UNKNOWN if v is None else v)) for k, v in comparison.settings.items()]
    return (
        f"<h2>How it was made</h2>{shown}{_pairs(entries)}"
        f"<h3>Settings that all methods share</h3>{_pairs(settings)}"
    )


def _pairs(entries: Iterable[tuple[str, str]]) -> str:
    """A table of names and values, which are HTML already."""
    rows = "".join(f'<tr><th scope="row">{name}</th><td>{value}</td></tr>' for name, value in entries)
    return f'<div class="wide"><table><tbody>{rows}</tbody></table></div>'


def _column(name: str) -> Column:
    return next(column for column in COLUMNS if column.name == name)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _text(value: object) -> str:
    """Anything as the text of an element or an attribute."""
    return escape(str(value), quote=True)
