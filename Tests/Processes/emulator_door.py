"""A door in front of Google's Pub/Sub emulator through which streams always end in good order.

The emulator (0.8.20) fails when a stream is reset or its connection is lost: its log has a `NoSuchMethodError`, it never
learns that nobody listens there any more, and it goes on delivering messages to the dead, again and again. The real service
does not. This process passes HTTP/2 on frame by frame; where a client resets a stream, or dies, it ends the client's side of
the stream instead, which the emulator understands.
"""

import argparse
import asyncio

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM = 0, 1, 3
END_STREAM = 1


def end_of(stream):
    """An empty DATA frame that ends a stream."""
    return b"\0\0\0" + bytes([DATA, END_STREAM]) + stream.to_bytes(4, "big")


async def pass_on(client, emulator):
    """Everything from a client to the emulator; nothing but whole frames."""
    open_streams = set()
    try:
        emulator.write(await client.readexactly(len(PREFACE)))
        while True:
            head = await client.readexactly(9)
            body = await client.readexactly(int.from_bytes(head[:3], "big"))
            kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
            if kind == RST_STREAM:
                if stream in open_streams:
                    emulator.write(end_of(stream))
                    open_streams.discard(stream)
                continue
            if kind == HEADERS:
                open_streams.add(stream)
            if kind in (DATA, HEADERS) and flags & END_STREAM:
                open_streams.discard(stream)
            emulator.write(head + body)
            await emulator.drain()
    except (asyncio.IncompleteReadError, OSError):
        pass
    for stream in open_streams:
        emulator.write(end_of(stream))
    await emulator.drain()


async def pass_back(emulator, client):
    """Everything from the emulator to a client, and to nobody once that is gone."""
    while data := await emulator.read(1 << 16):
        if not client.is_closing():
            client.write(data)


async def serve(host, port, reader, writer):
    emulator_reader, emulator_writer = await asyncio.open_connection(host, port)
    back = asyncio.create_task(pass_back(emulator_reader, writer))
    try:
        await pass_on(reader, emulator_writer)
        # The emulator closes nothing by itself; this is time for it to see the ends of the streams.
        await asyncio.wait([back], timeout=1)
    except OSError:
        pass
    finally:
        back.cancel()
        writer.close()
        emulator_writer.close()


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--emulator", required=True, help="host:port")
    host, port = parser.parse_args().emulator.split(":")
    server = await asyncio.start_server(lambda reader, writer: serve(host, int(port), reader, writer), "127.0.0.1", 0)
    print("ready 127.0.0.1:%d" % server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
