"""Ideas of others as ordinary plug-ins; README.md beside this file says what belongs here."""
