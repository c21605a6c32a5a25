"""Models on the command line: list, solve, train, evaluate, plot."""
