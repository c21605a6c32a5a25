"""Local policy servers for tests and for robots without a GPU: strict, and never GR00T itself."""
