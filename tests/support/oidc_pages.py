"""The provider's own pages, on which people log in with a browser."""

from __future__ import annotations

import shutil
from pathlib import Path

_PAGES = Path("/usr/share/glewlwyd/webapp")
_SETTINGS = "config.json"
_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "application/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}


def pages_config(folder: Path) -> str:
    """Lines of a Glewlwyd configuration that serve its pages, copied into a folder, to every web site.

    Debian's package links the pages' settings to a folder, where they are not found.
    """
    target = folder / "pages"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(_PAGES, target, ignore=shutil.ignore_patterns(_SETTINGS))
    settings = (_PAGES / _SETTINGS).resolve()
    shutil.copyfile(settings / _SETTINGS if settings.is_dir() else settings, target / _SETTINGS)
    types = ",".join(f'{{ extension="{e}" mime_type="{t}" }}' for e, t in _TYPES.items())
    return (
        f'static_files_path="{target}/"\nstatic_files_mime_types=({types})\n'
        'allow_origin="*"\n'
        'allow_headers="Origin, X-Requested-With, Content-Type, Accept, Authorization"\n'
    )
