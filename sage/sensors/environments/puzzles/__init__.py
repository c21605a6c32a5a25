"""The environment `puzzles`: a graded stream of puzzles."""
