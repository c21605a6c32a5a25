"""The built-in sensors."""
