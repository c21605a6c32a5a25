"""User interfaces: command line, configuration, live view, report, store. The only floor that names
plug-ins.

Importing it imports nothing else; each command loads what it needs when it runs.
"""
