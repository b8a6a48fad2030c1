"""The rim of the command line: what a person sees, and what a shell gets, when something goes wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import ClassVar

import pytest
import typer
from typer.testing import CliRunner

from acreage import __version__
from acreage.cli.boundary import INTERRUPTED, CommandAt, LazyGroup
from acreage.cli.main import root
from acreage.core.errors import CatalogError


def _refuse() -> None:
    """Fail as a person may expect."""
    raise CatalogError("The catalog x.json is not there.", hint="Name another with --catalog.")


def _interrupt() -> None:
    raise KeyboardInterrupt


def _count(items: list[str], times: int = 1) -> None:
    """Count the items."""
    typer.echo(len(items) * times)


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    """The real root command over commands of the test's own."""
    module = ModuleType("commands_of_a_test")
    functions = {"refuse": _refuse, "interrupt": _interrupt, "count": _count}
    for name, function in functions.items():
        setattr(module, name, function)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    table = {name: CommandAt(f"{module.__name__}:{name}", f"To {name}.") for name in functions}
    table["absent"] = CommandAt("no_such_module_for_sure:run", "To be imported only when called.")

    class Group(LazyGroup):
        commands_at: ClassVar[Mapping[str, CommandAt]] = table

    app = typer.Typer(cls=Group, pretty_exceptions_enable=False)
    app.callback()(root)
    return app


def test_an_error_is_a_message_with_its_hint_on_standard_error(app: typer.Typer) -> None:
    result = CliRunner().invoke(app, ["refuse"])
    assert result.exit_code == CatalogError.exit_code
    assert result.stdout == ""
    assert "The catalog x.json is not there." in result.stderr
    assert "Name another with --catalog." in result.stderr
    assert "Traceback" not in result.output


def test_debug_lets_the_error_through_with_its_traceback(app: typer.Typer) -> None:
    result = CliRunner().invoke(app, ["--debug", "refuse"])
    assert isinstance(result.exception, CatalogError)


def test_an_interrupt_exits_as_shells_expect(app: typer.Typer) -> None:
    result = CliRunner().invoke(app, ["interrupt"])
    assert result.exit_code == INTERRUPTED
    assert "Traceback" not in result.output


def test_a_setting_that_cannot_be_used_stops_before_the_command(
    app: typer.Typer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACREAGE_THREADS", "none")
    result = CliRunner().invoke(app, ["count", "a"])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "ACREAGE_THREADS" in result.stderr


def test_a_command_gets_its_arguments_and_is_imported_alone(app: typer.Typer) -> None:
    result = CliRunner().invoke(app, ["count", "a", "b", "--times", "3"])
    assert result.exit_code == 0, result.output
    assert result.stdout == "6\n"


def test_the_list_of_commands_is_shown_without_importing_them(app: typer.Typer) -> None:
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0, result.output
    assert "To be imported only when called." in result.stdout


def test_an_unknown_command_is_named(app: typer.Typer) -> None:
    result = CliRunner().invoke(app, ["cuont"])
    assert result.exit_code == 2
    assert "cuont" in result.stderr


def test_the_installed_program_prints_its_version_without_importing_what_is_heavy() -> None:
    code = (
        "import sys; from acreage.cli.main import main\n"
        "sys.argv = ['acreage', '--version']\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code\n"
        "print(sorted({'torch', 'numba', 'rasterio', 'xarray', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"acreage {__version__}", "[]"]


def test_a_closed_pipe_is_silent() -> None:
    code = (
        "import sys, typer; from acreage.cli.boundary import LazyGroup; from acreage.cli.main import root\n"
        "app = typer.Typer(cls=LazyGroup); app.callback()(root)\n"
        "@app.command()\n"
        "def talk() -> None:\n"
        "    for _ in range(100_000): typer.echo('a line of a long listing')\n"
        "sys.argv = ['acreage', 'talk']; app()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.readline() == "a line of a long listing\n"
        child.stdout.close()
        assert child.stderr.read() == ""
