"""Puzzles as grids to draw: in the puzzle page, and in the viewer of data sets."""
