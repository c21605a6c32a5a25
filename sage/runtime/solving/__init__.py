"""Puzzles under way across ticks, and the learner that their experiences go to."""
