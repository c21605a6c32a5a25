"""Focus mailboxes (tensors) between processes, over POSIX shared memory."""
