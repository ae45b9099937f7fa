"""The application and its entry point; every command has a file of its own."""

from __future__ import annotations

import os
import signal
from typing import Annotated

import typer

from cryoinv import __version__
from cryoinv.cli.compare import compare
from cryoinv.cli.demo import demo
from cryoinv.cli.denoise import denoise
from cryoinv.cli.evaluate import evaluate
from cryoinv.cli.fsc import fsc
from cryoinv.cli.ranks import let_the_first_speak, silence_all_but_the_first
from cryoinv.cli.reconstruct import reconstruct
from cryoinv.cli.refine import refine
from cryoinv.cli.reporting import DEBUG_VARIABLE, ReportingGroup
from cryoinv.cli.simulate import simulate
from cryoinv.cli.train import train

__all__ = ["app", "run"]

app = typer.Typer(
    name="cryoinv",
    cls=ReportingGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"cryoinv {__version__}")
        raise typer.Exit


@app.callback()
def main(
    debug: Annotated[
        bool, typer.Option("--debug", envvar=DEBUG_VARIABLE, help="Show the traceback of any error.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Cryo-EM reconstruction with exchangeable operators, noise models and priors.

    New here? Try: cryoinv demo
    """
    if debug:
        os.environ[DEBUG_VARIABLE] = "1"


for command in (simulate, refine, compare, reconstruct, train, denoise, evaluate, fsc, demo):
    app.command()(command)


def _stop(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def run() -> None:
    """Entry point of the ``cryoinv`` command."""
    silence_all_but_the_first()
    # A batch system's SIGTERM must unwind too, or files under temporary names stay behind.
    signal.signal(signal.SIGTERM, _stop)
    try:
        app(prog_name="cryoinv")
    except SystemExit as ending:
        if ending.code in (1, 2):  # an error or wrong usage: SIGTERM and Ctrl-C are not to be waited for
            let_the_first_speak()
        raise
