"""Layers, attention, recurrence and losses of HRM and TRM."""
