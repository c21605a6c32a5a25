"""ARC: grids, task sources, augmentation, voting."""
