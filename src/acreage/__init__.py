"""Continental-scale crop type mapping on openEO: the back end and the application in one package."""

from importlib.metadata import version

__version__ = version("acreage")
