"""Atomic operations for numba kernels: LLVM's instructions on raw addresses. Requires numba.

Invariant: an address is an int64, 8-byte aligned (4-byte for the `32` functions), and words that processes
share are read and written only through these functions. The name states the memory order; the kernel that
uses it states the matching operation. Acquire and release compile to plain moves on x86-64 and to ldar/stlr
(ldapr with rcpc) on aarch64; a test checks the code. Importing this module registers these functions as the
compiled versions of those in `words`.
"""

from __future__ import annotations

import platform
import time
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload, register_jitable

from sage.mailbox.shared.memory import futex, words

_I8, _I32, _I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)


def _pointer(builder: Any, address: Any, kind: Any = _I64) -> Any:
    return builder.inttoptr(address, kind.as_pointer())


def _load(order: str) -> Any:
    def load(typingctx: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.load_atomic(_pointer(builder, arguments[0]), order, 8)

        return types.int64(types.int64), codegen

    return intrinsic(load)


def _store(order: str) -> Any:
    def store(typingctx: Any, address: Any, value: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            builder.store_atomic(arguments[1], _pointer(builder, arguments[0]), order, 8)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), codegen

    return intrinsic(store)


load_relaxed, load_acquire = _load("monotonic"), _load("acquire")
store_relaxed, store_release = _store("monotonic"), _store("release")


@intrinsic
def swap_if(typingctx: Any, address: Any, expected: Any, desired: Any) -> Any:
    """Compare and swap, sequentially consistent; returns the previous word (equal to `expected` if it was
    stored).
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(builder, arguments[0])
        pair = builder.cmpxchg(pointer, arguments[1], arguments[2], "seq_cst", "seq_cst")
        return builder.extract_value(pair, 0)

    return types.int64(types.int64, types.int64, types.int64), codegen


@intrinsic
def add(typingctx: Any, address: Any, amount: Any) -> Any:
    """Fetch and add, relaxed; for counters."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.atomic_rmw("add", _pointer(builder, arguments[0]), arguments[1], "monotonic")

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def add32(typingctx: Any, address: Any, amount: Any) -> Any:
    """Fetch and add on 32 bits, sequentially consistent; for the word of a futex."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        amount = builder.trunc(arguments[1], _I32)
        old = builder.atomic_rmw("add", _pointer(builder, arguments[0], _I32), amount, "seq_cst")
        return builder.zext(old, _I64)

    return types.int64(types.int64, types.int64), codegen


def _fence(order: str) -> Any:
    def fence(typingctx: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            builder.fence(order)
            return context.get_dummy_value()

        return types.void(), codegen

    return intrinsic(fence)


fence_acquire, fence_release, fence_full = _fence("acquire"), _fence("release"), _fence("seq_cst")


@intrinsic
def copy_bytes(typingctx: Any, target: Any, source: Any, num_bytes: Any) -> Any:
    """memcpy. If another process can overwrite the source, check the copy afterwards, behind a fence."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, source, num_bytes = arguments
        cgutils.raw_memcpy(
            builder, _pointer(builder, target, _I8), _pointer(builder, source, _I8), num_bytes, 1
        )
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


@intrinsic
def zero_bytes(typingctx: Any, target: Any, num_bytes: Any) -> Any:
    """memset to zero."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        cgutils.memset(builder, _pointer(builder, arguments[0], _I8), arguments[1], 0)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@intrinsic
def pause(typingctx: Any) -> Any:
    """Between two reads of one word in a spin loop: yields to the core's other thread and the memory bus."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if platform.machine() == "x86_64":
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse2.pause"), [])
        elif platform.machine() == "aarch64":
            kind = ir.FunctionType(ir.VoidType(), [_I32])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.aarch64.hint"), [_I32(1)])
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def monotonic_ns(typingctx: Any) -> Any:
    """CLOCK_MONOTONIC in nanoseconds."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        timespec = cgutils.alloca_once(builder, ir.ArrayType(_I64, 2))
        kind = ir.FunctionType(_I32, [_I32, timespec.type])
        clock_gettime = cgutils.get_or_insert_function(builder.module, kind, "clock_gettime")
        builder.call(clock_gettime, [_I32(time.CLOCK_MONOTONIC), timespec])
        secs, rest = (builder.load(builder.gep(timespec, [_I32(0), _I32(index)])) for index in range(2))
        return builder.add(builder.mul(secs, _I64(1_000_000_000)), rest)

    return types.int64(), codegen


@intrinsic
def load32(typingctx: Any, address: Any) -> Any:
    """Load of 32 bits with acquire; for the word of a futex."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.zext(builder.load_atomic(_pointer(builder, arguments[0], _I32), "acquire", 4), _I64)

    return types.int64(types.int64), codegen


@intrinsic
def futex_wait(typingctx: Any, address: Any, seen: Any, timeout_ns: Any) -> Any:
    """Sleep while the 32-bit word is `seen`, at most `timeout_ns`. A signal or a spurious wake-up ends it
    early.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, seen, timeout_ns = arguments
        timespec = cgutils.alloca_once(builder, ir.ArrayType(_I64, 2))
        second = _I64(1_000_000_000)
        for index, value in enumerate((builder.sdiv(timeout_ns, second), builder.srem(timeout_ns, second))):
            builder.store(value, builder.gep(timespec, [_I32(0), _I32(index)]))
        _futex(builder, address, futex.WAIT, seen, builder.ptrtoint(timespec, _I64))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


@intrinsic
def futex_wake(typingctx: Any, address: Any) -> Any:
    """Wake all waiters on the word. Change it first."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _futex(builder, arguments[0], futex.WAKE, _I64(futex.ALL_WAITERS), _I64(0))
        return context.get_dummy_value()

    return types.void(types.int64), codegen


def _futex(builder: Any, address: Any, operation: int, value: Any, timespec: Any) -> None:
    kind = ir.FunctionType(_I64, [_I64] * 5)
    syscall = cgutils.get_or_insert_function(builder.module, kind, "syscall")
    builder.call(syscall, [_I64(futex.SYSCALL), address, _I64(operation), value, timespec])


def _pointer_to(kind: Any) -> Any:
    def pointer_to(typingctx: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        return types.CPointer(kind)(types.int64), codegen

    return intrinsic(pointer_to)


#: Arguments of `numba.carray`.
integers_at, reals_at = _pointer_to(types.int64), _pointer_to(types.float64)


# overload() needs a factory with the parameters of the plain function. Any: mypy sees uncompiled functions.
_swap_if: Any = swap_if
_add: Any = add
_copy_bytes: Any = copy_bytes
_zero_bytes: Any = zero_bytes
_pause: Any = pause
_monotonic_ns: Any = monotonic_ns
_add32: Any = add32
_futex_wake: Any = futex_wake
overload(words.load_relaxed)(lambda address: lambda address: load_relaxed(address))
overload(words.load_acquire)(lambda address: lambda address: load_acquire(address))
overload(words.store_relaxed)(lambda address, value: lambda address, value: store_relaxed(address, value))
overload(words.store_release)(lambda address, value: lambda address, value: store_release(address, value))
overload(words.swap_if)(
    lambda address, expected, desired: lambda address, expected, desired: _swap_if(address, expected, desired)
)
overload(words.add)(lambda address, amount: lambda address, amount: _add(address, amount))
overload(words.fence_acquire)(lambda: lambda: fence_acquire())
overload(words.fence_release)(lambda: lambda: fence_release())
overload(words.fence_full)(lambda: lambda: fence_full())
overload(words.copy_bytes)(
    lambda target, source, num_bytes: lambda target, source, num_bytes: _copy_bytes(target, source, num_bytes)
)
overload(words.zero_bytes)(lambda target, num_bytes: lambda target, num_bytes: _zero_bytes(target, num_bytes))
overload(words.pause)(lambda: lambda: _pause())
overload(words.monotonic_ns)(lambda: lambda: _monotonic_ns())


@register_jitable
def ring_bell(flag: int) -> None:
    """Wake the waiters of a `Doorbell` if there are any; flag: the address of its first word. Call it after
    the change, behind a full fence.
    """
    if words.load_acquire(flag) != 0:
        words.store_relaxed(flag, 0)
        _add32(flag + 8, 1)
        _futex_wake(flag + 8)
