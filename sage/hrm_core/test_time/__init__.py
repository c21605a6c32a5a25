"""Training a model on the demonstrations of one ARC puzzle, to answer its tests."""
