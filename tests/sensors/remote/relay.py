"""A relay between two hosts that delays, loses and cuts: what a kernel's netem would do, in one process.

Run as `python relay.py tcp|udp LISTEN_IP PORT TARGET_IP PORT DELAY_SECS LOSS`. On UDP a lost datagram is
gone; on TCP it is a retransmission: the bytes behind it wait RETRANSMIT_SECS. SIGUSR1 cuts the link
(connections are closed, datagrams dropped), SIGUSR2 restores it.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sys

RETRANSMIT_SECS = 0.2
SEGMENT = 1400


class Link:
    def __init__(self, delay_secs: float, loss: float) -> None:
        self.delay_secs = delay_secs
        self.loss = loss
        self.is_cut = False
        self.writers: set[asyncio.StreamWriter] = set()
        self.random = random.Random(0)

    def cut(self) -> None:
        self.is_cut = True
        for writer in self.writers:
            writer.transport.abort()

    def restore(self) -> None:
        self.is_cut = False


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: Link) -> None:
    loop = asyncio.get_running_loop()
    free_at = 0.0
    queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(64)

    async def send() -> None:
        while True:
            due, data = await queue.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if link.is_cut:
                writer.transport.abort()
                return
            writer.write(data)
            await writer.drain()

    sender = asyncio.create_task(send())
    try:
        while data := await reader.read(SEGMENT):
            due = max(loop.time() + link.delay_secs, free_at)
            if link.random.random() < link.loss:
                due += RETRANSMIT_SECS
            free_at = due
            await queue.put((due, data))
    except (ConnectionError, OSError):
        pass
    finally:
        sender.cancel()
        writer.transport.abort()


async def serve_tcp(link: Link, here: tuple[str, int], there: tuple[str, int]) -> None:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if link.is_cut:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(*there)
        except OSError:
            writer.transport.abort()
            return
        link.writers |= {writer, far_writer}
        await asyncio.gather(pump(reader, far_writer, link), pump(far_reader, writer, link))
        link.writers -= {writer, far_writer}

    async with await asyncio.start_server(accept, *here) as server:
        await server.serve_forever()


class Datagrams(asyncio.DatagramProtocol):
    """One side: what arrives here leaves by `other`. target: None for the address of the last datagram."""

    def __init__(self, link: Link, target: tuple[str, int] | None) -> None:
        self.link = link
        self.target = target
        self.is_fixed = target is not None
        self.other = self
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        if not self.is_fixed:
            self.target = address
        if not self.link.is_cut and self.link.random.random() >= self.link.loss:
            asyncio.get_running_loop().call_later(self.link.delay_secs, self.other.send, data)

    def send(self, data: bytes) -> None:
        if self.transport is not None and self.target is not None:
            self.transport.sendto(data, self.target)


async def serve_udp(link: Link, here: tuple[str, int], there: tuple[str, int]) -> None:
    loop = asyncio.get_running_loop()
    _, near = await loop.create_datagram_endpoint(lambda: Datagrams(link, None), local_addr=here)
    _, far = await loop.create_datagram_endpoint(lambda: Datagrams(link, there), local_addr=("0.0.0.0", 0))
    near.other, far.other = far, near
    await asyncio.Event().wait()


async def main() -> None:
    kind, here_ip, here_port, there_ip, there_port, delay, loss = sys.argv[1:]
    link = Link(float(delay), float(loss))
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, link.cut)
    loop.add_signal_handler(signal.SIGUSR2, link.restore)
    serve = serve_tcp if kind == "tcp" else serve_udp
    print("ready", flush=True)
    await serve(link, (here_ip, int(here_port)), (there_ip, int(there_port)))


if __name__ == "__main__":
    asyncio.run(main())
