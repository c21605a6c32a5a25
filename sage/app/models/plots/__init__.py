"""Pictures of models at work: puzzles and answers, thinking, training. Needs the extra `viz`; imports it when
it draws.
"""
