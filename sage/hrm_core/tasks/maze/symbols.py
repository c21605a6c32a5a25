"""The symbols of a maze and their numbers: cells are 1..5 for the characters of SYMBOLS."""

from __future__ import annotations

SYMBOLS = "# SGo"
WALL, OPEN, START, GOAL, PATH = range(1, 6)
