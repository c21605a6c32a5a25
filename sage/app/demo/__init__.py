"""`sage demo`: every capability in turn, at work, with what each step did and cost."""
