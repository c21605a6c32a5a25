"""What a state directory remembers: read, searched, exported and forgotten, without a run."""
