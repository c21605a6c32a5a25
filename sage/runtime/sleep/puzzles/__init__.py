"""Training of the solving model: memory of puzzles, practice, dreams, nights and their examination."""
