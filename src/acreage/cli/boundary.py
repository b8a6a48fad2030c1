"""The command line's rim: commands are imported when called; errors leave as a message and an exit code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

import typer
from rich.console import Console
from rich.panel import Panel
from rich.text import Text
from typer.core import TyperGroup

from acreage.core.errors import AcreageError, WriteFailed

INTERRUPTED = 130


def show_error(error: AcreageError) -> None:
    """Print the error as one panel on standard error: what was wrong, and what to do next."""
    text = Text(error.message)
    if error.hint:
        text.append(f"\n\n{error.hint}", style="dim")
    console = Console(stderr=True)
    if console.is_terminal:
        console.print(Panel(text, title=error.code, title_align="left", border_style="red"))
    else:
        # A log or a pipe: the same words without a frame that would break lines and paths.
        console.print(Text(f"{error.code}: ").append_text(text), soft_wrap=True)


@dataclass(frozen=True)
class CommandAt:
    """Where a command is found.

    Attributes:
        address: `module:function`; the function's signature is the command's, as typer reads it, and its
            docstring is the help. Or `module:app`, a typer application with commands of its own.
        summary: the docstring's first line, said here so that the list of commands needs no imports.
    """

    address: str
    summary: str


class LazyGroup(TyperGroup):
    """A group of commands that live in modules of their own, each imported only when it is called."""

    commands_at: ClassVar[Mapping[str, CommandAt]] = {}
    _only_listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of all commands, in the order of the table."""
        return [*self.commands_at, *super().list_commands(ctx)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, built from its function; None where there is none."""
        entry = self.commands_at.get(cmd_name)
        if entry is None:
            return super().get_command(ctx, cmd_name)
        single = typer.Typer(add_completion=False, rich_markup_mode="markdown")
        if self._only_listing:
            single.command(cmd_name, help=entry.summary)(_listed)
        else:
            module, function = entry.address.split(":")
            found = getattr(import_module(module), function)
            if isinstance(found, typer.Typer):
                single = found
            else:
                single.command(cmd_name)(found)
        command = typer.main.get_command(single)
        command.name = cmd_name
        return command

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The group's own help, with each command's summary."""
        self._only_listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._only_listing = False

    def resolve_command(self, ctx: Any, args: Sequence[str]) -> Any:
        """Find the command; the base class looks for near misses in `self.commands`, so name ours there."""
        name = args[0] if args else ""
        if name in self.commands_at:
            return name, self.get_command(ctx, name), list(args[1:])
        return super().resolve_command(ctx, list(args))

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an error of ours becomes a message and its exit code (--debug: a traceback)."""
        try:
            return super().invoke(ctx)
        except AcreageError as error:
            if ctx.params.get("debug"):
                raise
            show_error(error)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            Console(stderr=True).print("Interrupted.")
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            raise  # whoever reads our output has had enough: the library ends the command silently
        except OSError as error:
            if ctx.params.get("debug"):
                raise
            show_error(_refused_by_system(error))
            raise typer.Exit(WriteFailed.exit_code) from None


def _refused_by_system(error: OSError) -> WriteFailed:
    """Where the system refuses something in a place that nobody thought of: no space, no permission."""
    where = f" ({error.filename})" if error.filename else ""
    return WriteFailed(
        f"The system refused: {error.strerror or error}{where}.",
        hint="Check space and permissions; --debug shows where it happened.",
    )


def _listed() -> None:
    """Stand in for a command where only its name and summary are shown."""
