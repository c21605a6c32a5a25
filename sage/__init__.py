"""SAGE: a runtime for machines that sense, reason, remember and sleep.

The floors are the folders: `mailbox` and `hrm_core`, then `sensors`, `memory`, `related_work` and
`gr00t_integration`, `runtime`, `app`. A floor imports only floors below it. Importing `sage` imports nothing
else.
"""

__version__ = "0.1.0"
