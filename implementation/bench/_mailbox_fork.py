"""The pop of the mailbox this one replaces, reimplemented as it stood, to be measured on the same card in the
same run.

One launch of one thread for each record; each pop allocates on the device and copies twice to the host,
waiting both times.
"""

from __future__ import annotations

from typing import Any

RECORD_BYTES = 256
SOURCE = r"""
extern "C" __global__ void fork_push(unsigned char* ring, unsigned int* head, unsigned int* tail,
                                     unsigned int capacity, const unsigned char* record, int size) {
    unsigned int at = *tail % capacity;
    for (int i = 0; i < size; ++i) ring[at * size + i] = record[i];
    *tail = *tail + 1;
}
extern "C" __global__ void fork_pop(const unsigned char* ring, unsigned int* head, unsigned int* tail,
                                    unsigned int capacity, unsigned char* out, int size, int* is_found) {
    if (*head == *tail) { *is_found = 0; return; }
    unsigned int at = *head % capacity;
    for (int i = 0; i < size; ++i) out[i] = ring[at * size + i];
    *head = *head + 1;
    *is_found = 1;
}
"""


class ForkMailbox:
    """capacity records; what is pushed is on the device already."""

    def __init__(self, cupy: Any, capacity: int) -> None:
        self._cupy, self._capacity = cupy, capacity
        module = cupy.RawModule(code=SOURCE)
        self._push, self._pop = module.get_function("fork_push"), module.get_function("fork_pop")
        self._ring = cupy.zeros(capacity * RECORD_BYTES, dtype=cupy.uint8)
        self._head, self._tail = cupy.zeros(1, dtype=cupy.uint32), cupy.zeros(1, dtype=cupy.uint32)

    def push(self, record: Any) -> None:
        arguments = (
            self._ring,
            self._head,
            self._tail,
            self._cupy.uint32(self._capacity),
            record,
            self._cupy.int32(RECORD_BYTES),
        )
        self._push((1,), (1,), arguments)

    def pop(self) -> Any | None:
        """One record on the host, or None."""
        out = self._cupy.empty(RECORD_BYTES, dtype=self._cupy.uint8)
        is_found = self._cupy.zeros(1, dtype=self._cupy.int32)
        arguments = (
            self._ring,
            self._head,
            self._tail,
            self._cupy.uint32(self._capacity),
            out,
            self._cupy.int32(RECORD_BYTES),
            is_found,
        )
        self._pop((1,), (1,), arguments)
        if not int(is_found.get()[0]):
            return None
        return out.get()
