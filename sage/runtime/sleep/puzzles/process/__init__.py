"""The trainer of the solving model in a process of its own: experiences in and weights out by mailbox."""
