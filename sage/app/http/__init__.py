"""The one HTTP application: a JSON API in front of trained models.

Invariant: no route is reached but through the guard (Host, Origin, token, size and time of a body).
"""
