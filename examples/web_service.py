"""A web service: runs the script that a request brings, in a container made ahead, and answers with JSON.

    python3 examples/web_service.py ROOTFS PORT
    curl --data-binary 'echo hello' http://127.0.0.1:PORT/

Requests have limits of size and time; more than 8 at once are told 503.  SIGTERM lets those end that have begun.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys

import ocirun

SECONDS, TURNS = 5.0, asyncio.Semaphore(8)
HEAD = rb"(?is)POST / .*\r\ncontent-length: *(\d{1,5})\r\n.*"  # below 100,000 bytes


async def answer(pool: ocirun.Pool, reader: asyncio.StreamReader) -> tuple[str, object]:
    if TURNS.locked():
        return "503 Service Unavailable", "too many requests at once"
    async with TURNS:
        try:
            async with asyncio.timeout(SECONDS):
                head = re.fullmatch(HEAD, await reader.readuntil(b"\r\n\r\n"))
                script = await reader.readexactly(int(head[1]) if head else -1)  # -1 is a ValueError
            done = await ocirun.aio.run(pool, args=["sh"], stdin=script, timeout=SECONDS, output_limit=65536, text=True)
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):  # a TimeoutError is an OSError
            return "400 Bad Request", "wanted: POST / with a Content-Length below 100000, and so many bytes"
        except ocirun.OcirunError as error:
            return "500 Internal Server Error", error.code
    return "200 OK", {name: getattr(done, name) for name in ("exit_code", "signal", "limit", "stdout", "stderr")}


async def connection(pool: ocirun.Pool, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    status, value = await answer(pool, reader)
    writer.write(f"HTTP/1.1 {status}\r\nConnection: close\r\n\r\n{json.dumps(value)}\n".encode())
    writer.close()
    await asyncio.gather(asyncio.wait_for(writer.wait_closed(), SECONDS), return_exceptions=True)
    writer.transport.abort()  # of whoever does not read


async def serve(rootfs: str, port: int) -> None:
    end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
    with ocirun.Pool(ocirun.Prepared(config=ocirun.sandbox(rootfs, ["sh"])), size=2) as pool:
        server = await asyncio.start_server(lambda *two: connection(pool, *two), "127.0.0.1", port, limit=8192)
        print(*server.sockets[0].getsockname(), flush=True)
        await end.wait()
        server.close()
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2])))
