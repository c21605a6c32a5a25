"""One session of the loop: build it, run it, keep its snapshots, summarise it."""
