"""Mazes: generators, solver, text form."""
