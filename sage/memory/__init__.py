"""(floor docstring to be written by the floor)"""
