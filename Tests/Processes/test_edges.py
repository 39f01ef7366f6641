"""Clients that misbehave: bounded memory, the right status, no crash, no leaked slot."""

import http.server
import json
import resource
import select
import socket
import struct
import threading

import pytest

from weir_processes import Gateway, eventually, get, post

MIB = 1 << 20


def request_bytes(body, path="/v1/chat/completions", extra=""):
    return (
        f"POST {path} HTTP/1.1\r\nHost: weir\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    ).encode() + body


def chat(model, max_tokens, stream=False, content="hello"):
    return json.dumps(
        {
            "model": model,
            "stream": stream,
            "max_tokens": max_tokens,
            "ignore_eos": True,
            "messages": [{"role": "user", "content": content}],
        }
    ).encode()


@pytest.fixture
def model(pool):
    return json.loads(get(pool[1].url + "/v1/models"))["data"][0]["id"]


def connect(gateway, receive_buffer=None):
    client = socket.socket()
    if receive_buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.settimeout(60)
    client.connect(("127.0.0.1", gateway.port))
    return client


def read_response(client):
    data = b""
    while b"\r\n\r\n" not in data:
        piece = client.recv(65536)
        if not piece:
            break
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), None
    )
    while length is not None and len(body) < length:
        piece = client.recv(65536)
        if not piece:
            break
        body += piece
    return int(head.split()[1]), body


def nothing_in_flight(gateway):
    eventually(lambda: gateway.metric("weir_requests_in_flight") == 0, "a slot leaked")


def test_a_20_mb_body_is_carried(pool, model):
    simulator, gateway = pool
    before = gateway.resident_bytes()
    body = chat(model, 2, content="word " * (20 * MIB // 5))
    assert len(body) > 20 * MIB
    with connect(gateway) as client:
        client.sendall(request_bytes(body))
        status, answer = read_response(client)
    # The simulated server's KV cache cannot hold 5 million tokens: its own error object is the honest answer.
    assert status in (200, 400), answer[:300]
    if status == 400:
        assert "error" in json.loads(answer)
    nothing_in_flight(gateway)
    assert gateway.resident_bytes() - before < 120 * MIB


def test_a_body_over_the_limit_is_refused_at_once(pool, model):
    _, gateway = pool
    with connect(gateway) as client:
        head = request_bytes(b"", extra="").replace(b"Content-Length: 0", b"Content-Length: 99999999999")
        client.sendall(head)
        status, answer = read_response(client)
    assert status == 413
    assert json.loads(answer)["error"]["code"]


def test_a_malformed_request_line_gets_400_and_an_error_object(pool, model):
    _, gateway = pool
    with connect(gateway) as client:
        client.sendall(b"THIS IS NOT HTTP\r\n\r\n")
        status, answer = read_response(client)
    assert status == 400
    assert json.loads(answer)["error"]["type"] == "invalid_request_error"
    assert post(gateway.url + "/v1/chat/completions", json.loads(chat(model, 1))).status == 200


def test_slow_readers_hold_nobody_up(pool, model):
    simulator, gateway = pool
    before = gateway.resident_bytes()
    slow = []
    for _ in range(20):
        client = connect(gateway, receive_buffer=4096)
        client.sendall(request_bytes(chat(model, 100_000, stream=True)))
        slow.append(client)
    eventually(lambda: simulator.metric("vllm:num_requests_running") == 20, "not all run", timeout=60)
    assert post(gateway.url + "/v1/chat/completions", json.loads(chat(model, 5))).status == 200
    assert gateway.resident_bytes() - before < 60 * MIB
    for client in slow:
        client.close()
    eventually(lambda: simulator.metric("vllm:num_requests_running") == 0, "aborts did not arrive")
    nothing_in_flight(gateway)


def test_a_reader_that_stops_stops_the_model_server_too(processes, tmp_path):
    total = 256 * MIB
    sent = 0
    blocked = threading.Event()

    class Firehose(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_GET(self):
            page = b'{"data":[{"id":"hose"}]}'
            self.send_response(200)
            self.send_header("content-length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def do_POST(self):
            nonlocal sent
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", str(total))
            self.end_headers()
            piece = memoryview(bytes(MIB))
            while sent < total:
                if not select.select([], [self.connection], [], 1.5)[1]:
                    blocked.set()
                    select.select([], [self.connection], [])
                sent += self.connection.send(piece[: total - sent], socket.MSG_DONTWAIT)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Firehose)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    gateway = processes(Gateway, [f"http://127.0.0.1:{server.server_port}"], tmp_path)
    before = gateway.resident_bytes()
    with connect(gateway, receive_buffer=4096) as client:
        client.sendall(request_bytes(chat("hose", 1)))
        assert blocked.wait(30), "the model server was never held back"
        assert sent < 48 * MIB, "kernels buffer some of it, the gateway must not"
        assert gateway.resident_bytes() - before < 16 * MIB
        received = 0
        while received < total:
            piece = client.recv(1 << 20)
            assert piece, "cut off"
            received += len(piece)
    nothing_in_flight(gateway)
    server.shutdown()


@pytest.mark.parametrize("reset", [False, True])
def test_a_client_that_vanishes_mid_stream_stops_the_generation(pool, model, reset):
    simulator, gateway = pool
    client = connect(gateway)
    client.sendall(request_bytes(chat(model, 100_000, stream=True)))
    assert b"data:" in client.recv(65536) + client.recv(65536)
    if reset:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    eventually(lambda: simulator.metric("vllm:num_requests_running") == 0, "the server still generates")
    nothing_in_flight(gateway)


def test_10_000_idle_connections_cost_little_and_hold_nobody_up(pool, model):
    _, gateway = pool
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = 10_000
    assert hard > count + 500, f"this machine lets a process open only {hard} files"
    before = gateway.resident_bytes()
    idle = [connect(gateway) for _ in range(count)]
    eventually(lambda: gateway.metric("weir_connections") >= count, "not all were accepted", timeout=60)
    assert post(gateway.url + "/v1/chat/completions", json.loads(chat(model, 5))).status == 200
    assert gateway.resident_bytes() - before < 400 * MIB
    for client in idle:
        client.close()
    eventually(lambda: gateway.metric("weir_connections") < 10, "closed connections are still counted", timeout=60)
    nothing_in_flight(gateway)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
