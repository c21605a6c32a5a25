"""Reasoning models: HRM and TRM as two settings of one recurrence, behind two front ends.

Invariant: recurrent state is passed in and returned (`carry`), never hidden on a module. Importing this
package imports no torch; `sage.hrm_core.config.model` stays light too.
"""
