"""Continental-scale crop type mapping on openEO: the back end and the application in one package."""

from __future__ import annotations


def __getattr__(name: str) -> str:
    # The metadata of installed packages take a tenth of a second to load; most starts do without.
    if name == "__version__":
        from importlib.metadata import version

        return version("acreage")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
