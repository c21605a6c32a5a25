"""Training rows made by search: puzzles without known solutions are searched, and the model is trained on
what the searches proved, so that it solves in few model calls what took many.

Invariant: no solution is read from a puzzle's source; every label was accepted by the rules of the task.
"""
