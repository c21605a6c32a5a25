"""The subcommands of `sage`, a module each. A module imports typer alone; a command imports what it needs
when it runs.
"""
