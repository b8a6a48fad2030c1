"""Documentation is part of the product: what is not documented, or documented wrongly, fails here."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Annotated

import pytest
import typer

from acreage.cli.main import COMMANDS as LISTED
from acreage.cli.main import app
from acreage.core.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
DECISIONS = sorted((DOCS / "decisions").glob("*.md"))


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_docs", ROOT / "scripts" / "generate_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = _generator()
COMMANDS = dict(GENERATOR.walk(typer.main.get_command(app)))


def _anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", sorted(GENERATOR.PAGES))
def test_generated_page_is_what_the_code_says(name: str) -> None:
    page = (DOCS / name).read_text(encoding="utf-8")
    assert page == GENERATOR.PAGES[name](), f"docs/{name} is behind the code: run `make docs`"


@pytest.mark.parametrize("field", sorted(Settings.model_fields))
def test_every_setting_is_described(field: str) -> None:
    assert Settings.model_fields[field].description
    assert f"`ACREAGE_{field.upper()}`" in (DOCS / "settings.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted(COMMANDS), ids=lambda path: " ".join(("acreage", *path)))
def test_every_command_says_what_it_does_with_an_example_and_explains_each_option(
    path: tuple[str, ...],
) -> None:
    command = COMMANDS[path]
    assert re.search(r"\bExamples?:", command.help or ""), "the help has no example"
    assert f"## `{' '.join(('acreage', *path))}`" in (DOCS / "cli.md").read_text(encoding="utf-8")
    unexplained = [name for name, text in GENERATOR.parameters(command) if not text]
    assert not unexplained


@pytest.mark.parametrize("name", LISTED)
def test_summary_in_the_list_of_commands_is_the_first_line_of_its_help(name: str) -> None:
    assert LISTED[name].summary == COMMANDS[(name,)].help.splitlines()[0]


def test_parameters_are_listed_as_they_are_typed_with_what_is_required_and_their_defaults() -> None:
    def run(
        graph: Annotated[Path, typer.Argument(help="The graph.")],
        out: Annotated[Path, typer.Option("--out", "-o", help="The file.")],
        more: Annotated[list[str] | None, typer.Argument(help="More.")] = None,
        level: Annotated[int, typer.Option(help="How far.")] = 0,
        draw: Annotated[bool, typer.Option("--draw", help="Draw it.")] = False,
        secret: Annotated[bool, typer.Option(hidden=True)] = False,
    ) -> None:
        """Run."""

    single = typer.Typer(add_completion=False)
    single.command()(run)
    assert GENERATOR.parameters(typer.main.get_command(single)) == [
        ("graph", "The graph."),
        ("--out, -o", "The file. (required)"),
        ("[more...]", "More."),
        ("--level", "How far. (default: 0)"),
        ("--draw", "Draw it."),
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    broken = []
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        goal = (page.parent / name) if name else page
        if not goal.exists() or (anchor and anchor not in _anchors(goal)):
            broken.append(target)
    assert not broken


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_decision_says_context_choice_and_what_was_rejected(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert re.match(r"\d{4}-[a-z0-9-]+$", page.stem)
    assert text.startswith(f"# {int(page.stem[:4])}. ")
    assert {"context", "decision", "rejected"} <= _anchors(page)


def test_decisions_are_numbered_without_gaps_and_listed() -> None:
    assert [int(page.stem[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))
    listed = (DOCS / "architecture.md").read_text(encoding="utf-8")
    assert [page.name for page in DECISIONS if f"decisions/{page.name}" not in listed] == []


def test_architecture_names_every_folder_of_the_package() -> None:
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    package = ROOT / "src" / "acreage"
    folders = [f.name for f in package.iterdir() if (f / "__init__.py").is_file()]
    assert "core" in folders
    assert [name for name in folders if f"`{name}/`" not in text] == []


def test_contributing_names_every_make_target() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):.*## ", makefile, flags=re.MULTILINE))
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert {"demo", "test", "check", "proof"} <= targets
    assert [t for t in sorted(targets) if f"`make {t}`" not in text] == []
