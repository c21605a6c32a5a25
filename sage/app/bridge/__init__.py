"""Sources of one host on another: `sage bridge`."""
