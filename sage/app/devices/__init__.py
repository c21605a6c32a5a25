"""Sensors, mailboxes and hardware as the command line shows them."""
