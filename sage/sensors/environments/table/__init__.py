"""The environment `table`: objects that block each other, moved by plans that a reasoner gives."""
