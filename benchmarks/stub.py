"""A stand-in for DynamoDB's network: answers what it has recorded, so that a client's own CPU can be measured.

While it records it passes requests on. Then a read gets the answer it got before, and a write an empty one at once.
Each answer has the checksum header that DynamoDB sends: clients that check it pay for that here too.
"""

from __future__ import annotations

import asyncio
import sys
import zlib
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.certificate import server_side

WRITES = {b"PutItem": b"{}", b"TransactWriteItems": b"{}", b"BatchWriteItem": b'{"UnprocessedItems":{}}'}

type Answer = tuple[bytes, bytes]


class Upstream:
    """One connection to the real store, opened when it is first needed."""

    def __init__(self, upstream: str) -> None:
        where = urlsplit(upstream)
        self._host, self._port = where.hostname, where.port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, head: bytes, body: bytes) -> Answer:
        """Pass a request on; return status and body. A connection that has gone stale is opened anew, once."""
        try:
            return await self._ask(head, body)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.close()
            return await self._ask(head, body)

    async def _ask(self, head: bytes, body: bytes) -> Answer:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port, limit=2**20)
        reader, writer = self._streams
        writer.write(head + body)
        await writer.drain()
        head, answer = await read_message(reader)
        return head.split(b"\r\n", 1)[0].partition(b" ")[2], answer

    def close(self) -> None:
        """Close it."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class Stub:
    """The server."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.replays = False
        self.answers: dict[tuple[bytes, bytes], Answer] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection for as long as it lasts."""
        upstream = Upstream(self.upstream)
        try:
            while True:
                head, body = await read_message(reader)
                status, answer = await self.answer(upstream, head, body)
                headers = b"Content-Type: application/x-amz-json-1.0\r\nx-amzn-RequestId: stub\r\n"
                sums = b"x-amz-crc32: %d\r\nContent-Length: %d\r\n\r\n" % (zlib.crc32(answer), len(answer))
                writer.write(b"HTTP/1.1 %s\r\n%s%s%s" % (status, headers, sums, answer))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            upstream.close()

    async def answer(self, upstream: Upstream, head: bytes, body: bytes) -> Answer:
        """Return status and body."""
        operation = header(head, b"x-amz-target").rpartition(b".")[2]
        if operation in WRITES:
            return (b"200 OK", WRITES[operation]) if self.replays else await upstream.ask(head, body)
        if not (self.replays and (operation, body) in self.answers):
            self.answers[operation, body] = await upstream.ask(head, body)
        return self.answers[operation, body]

    async def obey(self) -> None:
        """Switch between recording and replaying, as standard input says, until it ends."""
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            self.replays = line.strip() == "replay"
            print("ok", flush=True)  # noqa: T201 - the answer


async def read_message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Read a request or an answer: its head and its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    return head, await reader.readexactly(int(header(head, b"content-length") or 0))


def header(head: bytes, name: bytes) -> bytes:
    """Return a header's value."""
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.lower() == name:
            return value.strip()
    return b""


async def main() -> None:
    """Serve on two free ports, which are the first line printed: plain, and with the certificate in a folder."""
    stub = Stub(sys.argv[1])
    contexts = (None, server_side(Path(sys.argv[2])))
    servers = [await asyncio.start_server(stub.serve, "127.0.0.1", 0, ssl=tls) for tls in contexts]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)  # noqa: T201 - the answer
    await stub.obey()


if __name__ == "__main__":
    asyncio.run(main())
