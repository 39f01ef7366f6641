"""A small HTTP/1.1 client on asyncio that can leave at any point, and the notes it takes of what became of each request."""

import asyncio
import json
import time

TIMEOUT_S = 60
# Well below what the gateway keeps idle connections for: one that it is about to close must not be taken again.
KEPT_S = 3
# One event per token; the first event only names the role.
TOKEN, OPENING = b'"finish_reason":', b'"role":'


class Left(Exception):
    """We left, on purpose."""


class Asked:
    """One request, as its client saw it."""

    __slots__ = (
        "id", "kind", "tenant", "priority", "model", "leaves", "limit", "status", "whole", "cut", "left", "events", "usage",
        "reason", "queued", "prompt_tokens", "content_type", "error")

    def __init__(self, number, kind="chat", tenant=None, priority=0, model=None, leaves=None, limit=0, prompt_tokens=0):
        self.id = f"soak-{number}"
        self.kind, self.tenant, self.priority, self.model = kind, tenant, priority, model
        self.leaves, self.limit, self.prompt_tokens = leaves, limit, prompt_tokens
        self.status = self.usage = self.reason = self.queued = self.content_type = self.error = None
        self.whole = self.cut = self.left = False
        self.events = 0


class Connection:
    """One kept connection; requests one after another."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.used = time.monotonic()

    def close(self):
        self.writer.close()


class Client:
    """Connections to one server, kept and taken again."""

    def __init__(self, url):
        self.host, port = url.removeprefix("http://").split(":")
        self.port = int(port)
        self.idle = []

    async def connection(self):
        while self.idle:
            connection = self.idle.pop()
            if time.monotonic() - connection.used < KEPT_S and not connection.reader.at_eof():
                return connection
            connection.close()
        return Connection(*await asyncio.open_connection(self.host, self.port))

    def close(self):
        for connection in self.idle:
            connection.close()
        self.idle = []

    async def ask(self, asked, method, path, body=None, headers=None):
        """Sends a request and reads its answer into `asked`; the body, None where there was no whole one."""
        connection = await self.connection()
        keep = False
        try:
            async with asyncio.timeout(TIMEOUT_S):
                data = await self._exchange(connection, asked, method, path, body, headers or {})
            keep = asked.whole
            return data
        except Left:
            asked.left = True
        except (TimeoutError, OSError, EOFError, ValueError) as error:
            asked.error = f"{type(error).__name__}: {error}"
            asked.cut = asked.status is not None
        finally:
            if keep:
                connection.used = time.monotonic()
                self.idle.append(connection)
            else:
                connection.close()
        return None

    async def _exchange(self, connection, asked, method, path, body, headers):
        writer = connection.writer
        lines = [f"{method} {path} HTTP/1.1", f"host: {self.host}:{self.port}", f"x-request-id: {asked.id}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body is not None:
            lines += ["content-type: application/json", f"content-length: {len(body)}"]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        if body is not None:
            if asked.leaves == "in the body":
                writer.write(body[: len(body) // 2])
                await writer.drain()
                await asyncio.sleep(0.02)
                raise Left
            writer.write(body)
        await writer.drain()
        if asked.leaves == "before the answer":
            await asyncio.sleep(0.005)
            raise Left
        return await self._answer(connection.reader, asked)

    async def _answer(self, reader, asked):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        asked.status = int(head[0].split(" ")[1])
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        asked.reason = fields.get("x-llm-d-request-dropped-reason")
        asked.queued = fields.get("x-weir-request-id")
        asked.content_type = fields.get("content-type", "")
        if fields.get("transfer-encoding") != "chunked":
            data = await reader.readexactly(int(fields.get("content-length", 0)))
        else:
            data = await self._chunks(reader, asked)
        asked.whole = not asked.cut
        self._read(asked, data)
        return data

    async def _chunks(self, reader, asked):
        data = bytearray()
        while size := int(await reader.readuntil(b"\r\n"), 16):
            seen = len(data)
            data += (await reader.readexactly(size + 2))[:-2]
            # A piece may end anywhere, within a name too.
            asked.events += data.count(TOKEN, max(0, seen - len(TOKEN) + 1))
            asked.events -= data.count(OPENING, max(0, seen - len(OPENING) + 1))
            if isinstance(asked.leaves, int) and asked.events >= asked.leaves:
                raise Left
        await reader.readexactly(2)
        if asked.content_type.startswith("text/event-stream"):
            asked.cut = b"data: [DONE]" not in data
        return data

    @staticmethod
    def _read(asked, data):
        at = data.rfind(b'"usage":{')
        if at >= 0:
            asked.usage = json.JSONDecoder().raw_decode(data[at + 8 :].decode())[0]


async def fetch(url):
    """The text of a page; None where nobody answers."""
    host, port = url.removeprefix("http://").split("/")[0].split(":")
    path = "/" + url.removeprefix("http://").partition("/")[2]
    writer = None
    try:
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(f"GET {path} HTTP/1.1\r\nhost: {host}:{port}\r\nconnection: close\r\n\r\n".encode())
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            if b" 200 " not in head.split(b"\r\n")[0]:
                return None
            if b"transfer-encoding: chunked" not in head.lower():
                return body.decode()
            pieces = []
            while body:
                size, _, rest = body.partition(b"\r\n")
                length = int(size, 16)
                pieces.append(rest[:length])
                body = rest[length + 2 :]
                if length == 0:
                    break
            return b"".join(pieces).decode()
    except (TimeoutError, OSError):
        return None
    finally:
        if writer:
            writer.close()
