"""Clients of a page's live stream, in a process of their own: `_page_clients.py PORT NUM`.

Prints "ready" once each has its first frame, and the bytes received when its standard input ends.
"""

from __future__ import annotations

import selectors
import socket
import sys

REQUEST = b"GET /api/live HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"


def main() -> None:
    port, num = int(sys.argv[1]), int(sys.argv[2])
    selector = selectors.DefaultSelector()
    for _ in range(num):
        client = socket.create_connection(("127.0.0.1", port), timeout=30)
        client.sendall(REQUEST)
        client.setblocking(False)
        selector.register(client, selectors.EVENT_READ)
    selector.register(sys.stdin, selectors.EVENT_READ)
    begun: set[socket.socket] = set()
    num_bytes, is_ready = 0, False
    while True:
        for key, _ in selector.select():
            if key.fileobj is sys.stdin:
                print(num_bytes, flush=True)
                return
            client = key.fileobj
            assert isinstance(client, socket.socket)
            received = client.recv(1 << 16)
            if not received:
                raise SystemExit("a stream ended")
            num_bytes += len(received)
            if b"data: " in received:
                begun.add(client)
        if not is_ready and len(begun) == num:
            is_ready = True
            print("ready", flush=True)


if __name__ == "__main__":
    main()
