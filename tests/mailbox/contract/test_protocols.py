"""Every implementation has the methods of the contract, with parameters of the same names and defaults."""

import inspect

import pytest

from sage.mailbox import contract
from sage.mailbox.handles import DLPackStore, Lease, LeaseStore, Loan, LoanStore, Store
from sage.mailbox.local.exchange import Exchange
from sage.mailbox.local.focus import FocusMailbox
from sage.mailbox.local.peripheral import PeripheralMailbox, Subscription
from sage.mailbox.shared.focus.exchange import SharedExchange
from sage.mailbox.shared.focus.mailbox import SharedFocus
from sage.mailbox.shared.ring.mapping import SharedPeripheral
from sage.mailbox.shared.ring.subscription import SharedSubscription

IMPLEMENTATIONS = {
    contract.Peripheral: (PeripheralMailbox, SharedPeripheral),
    contract.Subscription: (Subscription, SharedSubscription),
    contract.Focus: (FocusMailbox, SharedFocus),
    contract.Loan: (Loan,),
    contract.Lease: (Lease,),
    LoanStore: (Exchange, SharedExchange),
    LeaseStore: (Exchange, SharedExchange),
}
PAIRS = [(protocol, made) for protocol, classes in IMPLEMENTATIONS.items() for made in classes]


def _methods(protocol, *, own=False):
    classes = [protocol] if own else [each for each in protocol.__mro__ if each.__module__ != "typing"]
    return {
        name: member
        for each in classes
        for name, member in vars(each).items()
        if inspect.isfunction(member) and not name.startswith("_")
    }


@pytest.mark.parametrize(("protocol", "made"), PAIRS, ids=lambda each: each.__name__)
def test_methods_and_parameters_are_those_of_the_contract(protocol, made):
    methods = _methods(protocol)
    assert methods
    for name, member in methods.items():
        found = inspect.signature(getattr(made, name)).parameters
        for parameter in inspect.signature(member).parameters.values():
            assert found[parameter.name].kind == parameter.kind, (name, parameter)
            assert found[parameter.name].default == parameter.default, (name, parameter)
        wanted = inspect.signature(member).parameters
        extra = [each for each in found.values() if each.name not in wanted]
        assert all(each.default is not inspect.Parameter.empty for each in extra), name


@pytest.mark.parametrize(
    "protocol", [*IMPLEMENTATIONS, contract.FocusSender, contract.FocusReceiver, Store, DLPackStore]
)
def test_a_protocol_has_at_most_five_methods_of_its_own(protocol):
    assert len(_methods(protocol, own=True)) <= 5
