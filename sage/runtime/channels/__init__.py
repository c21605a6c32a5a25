"""Which source owns which channels, and how readings map to them."""
