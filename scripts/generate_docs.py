"""Write the pages of docs/ that are generated from the code: docs/settings.md, docs/cli.md, docs/formats.md
and docs/benchmarks.md.

Run by `make docs`; tests/test_docs.py holds the pages equal to what this writes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from pydantic_settings import BaseSettings

from acreage.backend.settings import SERVER_PREFIX, ServerSettings
from acreage.bench.page import page_text
from acreage.bench.results import read_results
from acreage.cli.main import app
from acreage.core.settings import PREFIX, Settings
from acreage.engine.formats import FormatInfo, formats

DOCS = Path(__file__).resolve().parent.parent / "docs"
NOTE = "<!-- Written by `make docs` from {source}; do not edit. -->"


def settings_page() -> str:
    """docs/settings.md: every field of `Settings` with what it takes and its default."""
    lines = [
        "# Settings",
        "",
        NOTE.format(source="src/acreage/core/settings.py and src/acreage/backend/settings.py"),
        "",
        "Environment variables, read once when a command starts. None needs to be set. A value that cannot",
        "be used is refused with its name, before anything runs.",
        "",
        *_settings_table(Settings, PREFIX),
        "",
        "## Of the server",
        "",
        "`acreage serve` reads these besides ([the server](server.md)).",
        "",
        *_settings_table(ServerSettings, SERVER_PREFIX),
    ]
    return "\n".join(lines) + "\n"


def _settings_table(model: type[BaseSettings], prefix: str) -> list[str]:
    lines = ["| variable | default | what it is |", "|---|---|---|"]
    for name, field in model.model_fields.items():
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        default = extra.get("default", field.default)
        shown = ", ".join(default) if isinstance(default, tuple) else default
        lines.append(f"| `{prefix}{name.upper()}` | {shown} | {field.description} |")
    return lines


def walk(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command of the tree, parents first, as (words after `acreage`, command)."""
    yield path, command
    if hasattr(command, "list_commands"):
        context = command.context_class(command, info_name=path[-1] if path else "acreage")
        for name in command.list_commands(context):
            yield from walk(command.get_command(context, name), (*path, name))


def parameters(command: Any) -> list[tuple[str, str]]:
    """(name as typed, help) of each argument and option that `--help` shows."""
    rows = []
    for parameter in command.params:
        if getattr(parameter, "hidden", False):
            continue
        if parameter.param_type_name == "argument":
            name = (parameter.metavar or parameter.name) + ("" if parameter.nargs == 1 else "...")
            name = name if parameter.required else f"[{name}]"
        else:
            name = ", ".join([*parameter.opts, *parameter.secondary_opts])
        notes = []
        if parameter.required and parameter.param_type_name == "option":
            notes.append("required")
        default = parameter.default
        # A switch that is off, or nothing, is what anyone expects.
        if default is not None and default is not False and default != [] and not callable(default):
            notes.append(f"default: {_shown(default)}")
        text = (parameter.help or "") + (f" ({'; '.join(notes)})" if notes else "")
        rows.append((name, text))
    return rows


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _shown(value: Any) -> str:
    return str(getattr(value, "value", value))


def cli_page() -> str:
    """docs/cli.md: every command with its help, arguments and options."""
    lines = ["# Command line", "", NOTE.format(source="the commands' own help"), ""]
    for path, command in walk(typer.main.get_command(app)):
        lines += [f"## `{' '.join(('acreage', *path))}`", "", (command.help or "").strip(), ""]
        rows = parameters(command)
        if rows:
            lines += ["| argument or option | what it is |", "|---|---|"]
            lines += [f"| `{name}` | {_cell(text)} |" for name, text in rows]
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def formats_page() -> str:
    """docs/formats.md: the formats that are written and read, with their options."""
    lines = [
        "# File formats",
        "",
        NOTE.format(source="src/acreage/engine/formats/formats.yaml"),
        "",
        "What `GET /file_formats` lists. Names are matched in any case. Options go into the parameter",
        "`options` of `save_result`, `load_uploaded_files` and `load_url`; what a format does not take is",
        "refused before anything runs.",
    ]
    for title, direction in (("Written", "output"), ("Read", "input")):
        lines += ["", f"## {title}"]
        for info in formats(direction).values():
            lines += ["", *_format_lines(info)]
    return "\n".join(lines) + "\n"


def _format_lines(info: FormatInfo) -> list[str]:
    kinds = ", ".join(info.kinds)
    lines = [f"### {info.name}", "", f"{info.title} ({kinds}; `{info.media_type}`)", "", info.description]
    if info.options:
        lines += ["", "| option | default | what it is |", "|---|---|---|"]
    for name, schema in info.options.items():
        default = json.dumps(schema["default"]) if "default" in schema else ""
        choice = f" One of {', '.join(schema['enum'])}." if "enum" in schema else ""
        lines.append(f"| `{name}` | {default} | {_cell(schema['description'])}{choice} |")
    return lines


def benchmarks_page() -> str:
    """docs/benchmarks.md: from the numbers that `acreage bench --docs docs` left in docs/benchmarks.json."""
    return page_text(read_results(DOCS / "benchmarks.json"))


PAGES = {
    "settings.md": settings_page,
    "cli.md": cli_page,
    "benchmarks.md": benchmarks_page,
    "formats.md": formats_page,
}


def main() -> int:
    """Write every generated page."""
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")
        print(f"wrote docs/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
