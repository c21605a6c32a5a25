"""Naming the smallest set of causes that explains all symptoms."""
