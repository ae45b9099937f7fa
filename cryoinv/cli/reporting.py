"""What the user is told when something goes wrong: one message on stderr, no traceback."""

from __future__ import annotations

import logging
import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
import typer.core

from cryoinv.cli.ranks import alone, may_end_with_a_message
from cryoinv.errors import CryoinvError, InputWarning, lacks_memory

__all__ = ["DEBUG_VARIABLE", "ReportingGroup", "describe", "say", "show_traceback", "warnings_and_log"]

DEBUG_VARIABLE = "CRYOINV_DEBUG"
_INTERRUPTED = 130
_TERMINATED = "terminated; what was finished is on disk"
_ONE_TERMINATED = (
    "another process of this run has ended, or all were terminated; what was finished is on disk: --resume goes on"
)
_COLOURS = {"error": typer.colors.RED, "warning": typer.colors.YELLOW}
_USAGE_ERROR: Any = typer.BadParameter.__base__


class ReportingGroup(typer.core.TyperGroup):
    """Commands whose errors become one message: exit 1, usage errors 2 (typer's own), Ctrl-C 130."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command, and report what stops it."""
        try:
            with warnings_and_log():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            _last_words("interrupted; what was finished is on disk")
            raise typer.Exit(_INTERRUPTED) from None
        except SystemExit:  # SIGTERM
            _last_words(_TERMINATED if alone() else _ONE_TERMINATED)
            raise
        except CryoinvError as error:
            _last_words(str(error))
            raise typer.Exit(1) from None
        except BrokenPipeError:
            raise
        except Exception as error:
            if isinstance(error, (_USAGE_ERROR, typer.Exit, typer.Abort)):
                raise
            _last_words(describe(error))
            raise typer.Exit(1) from None


def say(message: str, kind: str = "") -> None:
    """Print a message to stderr, with ``kind:`` (error, warning) before it."""
    label = f"{kind}:" if kind else ""
    if kind and sys.stderr.isatty() and not os.environ.get("NO_COLOR"):
        label = typer.style(label, fg=_COLOURS.get(kind), bold=True)
    # Not `typer.echo`, which writes past a progress bar that has taken the place of sys.stderr.
    print(f"{label} {message}" if kind else message, file=sys.stderr, flush=True)


def _last_words(message: str) -> None:
    """Say why this process ends, and how it came about if asked to; of several processes, one does."""
    if may_end_with_a_message():
        show_traceback()
        say(message, "error")


def describe(error: Exception) -> str:
    """One line about an exception nobody foresaw: type, message, place, what to do."""
    if lacks_memory(error):
        return f"out of memory: {_one_line(error)}; use a smaller box, fewer threads, or a larger machine"
    advice = f"run `cryoinv --debug ...` (or set {DEBUG_VARIABLE}=1) for the traceback, and please report it"
    if isinstance(error, OSError):
        return f"{_one_line(error)}; {advice}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if f"{os.sep}cryoinv{os.sep}" in frame.filename] or frames
    place = f" at {Path(own[-1].filename).name}:{own[-1].lineno}" if own else ""
    return f"unexpected {type(error).__name__}{place}: {_one_line(error)}; {advice}"


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 500 else text[:500] + " ..."


def show_traceback() -> None:
    """Print the traceback of the exception that is being handled, if it was asked for."""
    debugging = os.environ.get(DEBUG_VARIABLE, "").lower() not in ("", "0", "false", "no")
    if debugging and isinstance(sys.exception(), Exception):
        traceback.print_exc(file=sys.stderr)


class _Handler(logging.Handler):
    """Log records as messages on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        kind = "" if record.levelno < logging.WARNING else record.levelname.lower()
        say(record.getMessage(), kind)


@contextmanager
def warnings_and_log() -> Iterator[None]:
    """Show the library's log, and its warnings as short as its errors."""
    logger, handler = logging.getLogger("cryoinv"), _Handler()
    level, propagate = logger.level, logger.propagate
    with warnings.catch_warnings():
        ordinary = warnings.showwarning

        def show(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(category, InputWarning):
                say(str(message), "warning")
            else:
                ordinary(message, category, *where, **more)

        warnings.simplefilter("always", InputWarning)
        warnings.showwarning = show
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate
