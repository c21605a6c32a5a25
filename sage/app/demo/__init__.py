"""`sage demo`: every capability, one step each, with its result and cost."""
