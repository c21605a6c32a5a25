"""Plots of models: architecture, puzzles and answers, states, training. Needs the extra `viz`."""
