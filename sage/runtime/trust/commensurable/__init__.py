"""Sources with a known measurement model: matrix and noise of each are given."""
