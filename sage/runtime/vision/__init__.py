"""Frames in tiles: all of them at low resolution, a few of them at full resolution."""
