"""A model server that does what a test tells it, and writes down what it is asked.

Beside `weir sim`, for what no model server should do, and for knowing which message it was: the text between `[[` and `]]`
in a body is taken to be the message's name. Runs in a test (`ModelServer`) or as a process that can be killed (`main`).
"""

import argparse
import asyncio
import dataclasses
import json
import os
import random
import re
import socket
import struct
import threading
import time

NAME = re.compile(rb"\[\[([^\]]*)\]\]")
METRICS = b"""# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{model_name="%b"} %d
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{model_name="%b"} 0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{model_name="%b"} 0
"""


@dataclasses.dataclass(frozen=True)
class Fate:
    """What becomes of one request.

    `answer`: status and headers after a delay. `trickle`: the same, the body in pieces over the delay. `hang`: nothing until
    `release()`. `reset`, `close`: the connection ends instead of an answer. `cut`: it ends within the answer. `babble`: the
    answer is no HTTP.
    """

    kind: str = "answer"
    delay: float = 0.0
    status: int = 200
    headers: tuple = ()


@dataclasses.dataclass(frozen=True)
class Request:
    """A request for a completion. `number` counts those of its name, from 1."""

    name: str
    number: int
    path: str
    headers: dict
    body: dict
    raw: bytes


@dataclasses.dataclass(frozen=True)
class Event:
    """`begin` a request was read; `end` its answer was sent whole; `fault` the server broke it off; `gone` the client did."""

    at: float
    what: str
    name: str
    detail: str


class ModelServer:
    """Serves from a thread of its own until `kill()`; `behaviour` maps a `Request` to its `Fate`."""

    def __init__(self, behaviour=lambda request: Fate(), models=("sim",), port=0, journal=None):
        self.behaviour = behaviour
        self.models = models
        self.events = []
        self.requests = []
        self.running = 0
        self._counts = {}
        self._held = []
        self.connections = set()
        self._journal = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if journal else None
        self._news = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(
            self._loop.create_server(lambda: Connection(self), "127.0.0.1", port, backlog=1024)
        )
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def wait_for(self, what, name=None, count=1, timeout=30):
        """The `count`-th event of a kind (of a name), as soon as it is there."""
        end = time.monotonic() + timeout
        with self._news:
            while True:
                found = self.seen(what, name)
                if len(found) >= count:
                    return found[count - 1]
                if not self._news.wait(end - time.monotonic()):
                    raise AssertionError(f"{len(found)} of {count} times {what} {name or ''} in {timeout} s")

    def seen(self, what, name=None):
        return [event for event in list(self.events) if event.what == what and name in (None, event.name)]

    def release(self):
        """Answers all that hang, and lets none hang from now on."""

        def let_go():
            self.behaviour = lambda request: Fate()
            for connection in self._held:
                connection.answer(Fate())
            self._held = []

        self._loop.call_soon_threadsafe(let_go)

    def kill(self):
        """Stops listening and resets all connections."""

        def end():
            self._server.close()
            for connection in list(self.connections):
                connection.transport.abort()
            self._loop.call_soon(self._loop.stop)

        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(end)
            self._thread.join()

    def note(self, what, name, detail=""):
        event = Event(time.monotonic(), what, name, detail)
        if self._journal is not None:
            os.write(self._journal, f"{event.at:.6f}\t{what}\t{name}\t{detail}\n".encode())
        with self._news:
            self.events.append(event)
            self._news.notify_all()

    def begin(self, connection, path, headers, body):
        found = NAME.search(body)
        name = found[1].decode() if found else ""
        number = self._counts[name] = self._counts.get(name, 0) + 1
        self.note("begin", name, headers.get("x-request-id", ""))
        request = Request(name, number, path, headers, json.loads(body), body)
        self.requests.append(request)
        fate = self.behaviour(request)
        if fate.kind == "hang":
            self._held.append(connection)
        return request, fate


class Connection(asyncio.Protocol):
    """One connection: requests one after another."""

    def __init__(self, server):
        self.server = server
        self.loop = asyncio.get_running_loop()
        self.buffer = b""
        self.request = None
        self.timer = None

    def connection_made(self, transport):
        self.transport = transport
        self.server.connections.add(self)

    def data_received(self, data):
        self.buffer += data
        self._read()

    def connection_lost(self, _):
        self.server.connections.discard(self)
        if self.request:
            self._over("gone")

    def _over(self, what, detail=""):
        self.server.note(what, self.request.name, detail)
        self.server.running -= 1
        self.request = None
        if self.timer:
            self.timer.cancel()

    def _read(self):
        head, found, rest = self.buffer.partition(b"\r\n\r\n")
        if self.request or not found:
            return
        lines = head.decode("latin-1").split("\r\n")
        method, path, _ = lines[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            return
        body, self.buffer = rest[:length], rest[length:]
        if method != "POST":
            return self._send(200, (), self._page(path), "text/plain" if path == "/metrics" else "application/json")
        self.server.running += 1
        self.request, fate = self.server.begin(self, path, headers, body)
        self._carry_out(fate)

    def _page(self, path):
        if path == "/metrics":
            model = self.server.models[0].encode()
            return METRICS % (model, self.server.running, model, model)
        return json.dumps({"object": "list", "data": [{"id": name, "object": "model"} for name in self.server.models]}).encode()

    def _carry_out(self, fate):
        if fate.kind == "answer" and fate.delay == 0:
            self.answer(fate)
        elif fate.kind == "answer":
            self.timer = self.loop.call_later(fate.delay, self.answer, fate)
        elif fate.kind == "trickle":
            self.timer = self.loop.call_later(fate.delay / 4, self._trickle, fate, self._message(fate), 0)
        elif fate.kind != "hang":
            self.timer = self.loop.call_later(fate.delay, self._break_off, fate)

    def answer(self, fate):
        if not self.request:
            return
        message = self._message(fate)
        self._over("end", str(fate.status))
        self.transport.write(message)
        self._read()

    def _trickle(self, fate, message, piece):
        size = len(message) // 4 + 1
        if piece == 3:
            self._over("end", str(fate.status))
        else:
            self.timer = self.loop.call_later(fate.delay / 4, self._trickle, fate, message, piece + 1)
        self.transport.write(message[piece * size : (piece + 1) * size])

    def _break_off(self, fate):
        if fate.kind == "cut":
            message = self._message(fate)
            self.transport.write(message[: len(message) - 20])
        elif fate.kind == "babble":
            self.transport.write(b"what did you say?\r\n\r\n")
        self._over("fault", fate.kind)
        if fate.kind == "reset":
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
        else:
            self.transport.close()

    def _message(self, fate):
        if fate.status >= 400:
            body = {"error": {"message": "told to fail", "type": "told", "code": fate.status}}
        else:
            content = {"message": {"role": "assistant", "content": f"[[{self.request.name}]]"}, "text": self.request.name}
            body = {
                "id": "c", "object": "chat.completion", "created": 1, "model": self.request.body.get("model", ""),
                "choices": [{"index": 0, "finish_reason": "length", **content}],
                "usage": {"prompt_tokens": 10, "completion_tokens": 16, "total_tokens": 26},
            }
        return self._head(fate.status, fate.headers, json.dumps(body).encode(), "application/json")

    def _head(self, status, headers, body, content_type):
        lines = [f"HTTP/1.1 {status} Told", f"content-type: {content_type}", f"content-length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers]
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + body

    def _send(self, status, headers, body, content_type):
        self.transport.write(self._head(status, headers, body, content_type))
        self._read()


# Every way to fail, and how often, in thousandths.
MISHAPS = [
    (Fate(status=500), 10),
    (Fate(status=502), 4),
    (Fate(status=503), 4),
    (Fate(status=503, headers=(("x-llm-d-request-dropped-reason", "rejected-saturated"),)), 4),
    (Fate(status=429), 6),
    (Fate(status=429, headers=(("retry-after", "1"),)), 1),
    (Fate(status=408), 3),
    (Fate(status=409), 3),
    (Fate(status=425), 3),
    (Fate("reset"), 8),
    (Fate("close"), 8),
    (Fate("cut"), 10),
    (Fate("babble"), 4),
    (Fate("hang"), 4),
    (Fate("trickle", delay=0.3), 10),
]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--journal", required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--delay", type=float, default=0.1)
    parser.add_argument("--sound", action="store_true", help="never fail")
    options = parser.parse_args()
    generator = random.Random(options.seed)

    def behaviour(request):
        if request.body.get("max_tokens", 1) < 1:
            return Fate(status=400)
        dice = generator.randrange(1000)
        for fate, share in () if options.sound else MISHAPS:
            dice -= share
            if dice < 0:
                return fate
        return Fate(delay=options.delay * generator.uniform(0.5, 1.5))

    server = ModelServer(behaviour, port=options.port, journal=options.journal)
    print(f"ready {server.url}", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
