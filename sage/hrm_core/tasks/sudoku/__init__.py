"""Sudokus of any size: generators, rules, files, text form."""
