"""The version of the plug-in contract: of sensors, effectors and environments.

Invariant: within a version the contract only grows (new fields have defaults, new methods are optional), so
that a plug-in made for it keeps working. What would break one raises the version.
"""

from __future__ import annotations

#: A plug-in's class has the version that it was made for as `contract_version`; a class without it: 1.
CONTRACT_VERSION = 1


def contract_problem(kind: object, origin: str = "") -> str:
    """Why a plug-in's class cannot be used with this contract, with the remedy; empty where it can.

    origin: the distribution that it comes from, "" where that is not known.
    """
    made_for = getattr(kind, "contract_version", 1)
    if made_for == CONTRACT_VERSION and not isinstance(made_for, bool):
        return ""
    name = getattr(kind, "__name__", str(kind))
    package = origin or "its package"
    if not isinstance(made_for, int) or isinstance(made_for, bool) or made_for < 1:
        return (
            f"{name}.contract_version is {made_for!r}: give the version that it is made for,"
            f" {CONTRACT_VERSION}"
        )
    remedy = (
        f"upgrade sage-runtime, or install a version of {package} for contract {CONTRACT_VERSION}"
        if made_for > CONTRACT_VERSION
        else f"install a newer version of {package}"
    )
    return f"{name} is made for plug-in contract {made_for}, this SAGE has {CONTRACT_VERSION}: {remedy}"
