"""Directive ``.. command:: NAME``: usage, description and options of a command, read from the application itself."""

from __future__ import annotations

import typer.main
from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList

from cryoinv.cli.main import app


class CommandDirective(Directive):
    """Usage, help text and a table of the options of one command."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Parse the generated text in place."""
        commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
        name = self.arguments[0]
        if name not in commands:
            raise self.error(f"there is no command {name!r}, only {', '.join(commands)}")
        node = nodes.container()
        source, _ = self.state_machine.get_source_and_line(self.lineno)
        self.state.nested_parse(StringList(describe(name, commands[name]), source), self.content_offset, node)
        return node.children


def describe(name: str, command) -> list[str]:
    """Return the lines of text of a command."""
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    needed = [f"{p.opts[0]} {_value(p)}" for p in options if p.required]
    usage = " ".join(["cryoinv", name, *(_value(p) for p in arguments), *needed, "[OPTIONS]"])
    rows = [(f"``{_value(p)}``", p.help) for p in arguments]
    for option in options:
        value = "" if option.is_flag else f" {_value(option)}"
        rows.append((f"``{', '.join(option.opts)}{value}``", f"{option.help}{_default(option)}"))
    lines = [".. code-block:: text", "", f"   {usage}", "", *command.help.splitlines(), ""]
    lines += [".. list-table::", "   :widths: 35 65", "   :class: options", ""]
    for first, second in rows:
        lines += [f"   * - {first}", f"     - {second}"]
    return [*lines, ""]


def _value(parameter) -> str:
    return parameter.metavar or parameter.name.upper()


def _default(option) -> str:
    if option.required:
        return " Required."
    if option.is_flag or option.default in (None, ""):
        return ""
    return f" Default: ``{option.default}``."


def setup(sphinx) -> dict[str, bool]:
    """Register the directive."""
    sphinx.add_directive("command", CommandDirective)
    return {"parallel_read_safe": True}
