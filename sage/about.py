"""The version of the package, its one-line description and its folder."""

from pathlib import Path

__version__ = "0.1.0"
DESCRIPTION = "SAGE: a runtime for machines that sense, reason, remember and sleep."
PACKAGE_DIR = Path(__file__).resolve().parent
