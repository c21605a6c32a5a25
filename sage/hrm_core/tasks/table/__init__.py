"""Clearing a table: objects that block each other and take each other's places."""
