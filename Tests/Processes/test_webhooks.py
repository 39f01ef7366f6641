"""Results that are posted, as the one who asked for it meets them."""

import base64
import hashlib
import hmac
import http.server
import json
import queue
import threading

import pytest

from weir_processes import Gateway, Simulator, run

CHAT = {"model": "sim", "max_tokens": 3, "ignore_eos": True, "messages": [{"role": "user", "content": "hello"}]}
KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()


class Receiver:
    """A web server that answers posts with the statuses it was given, and then with 204."""

    def __init__(self, port=0, statuses=()):
        self.posts = queue.Queue()
        waiting = list(statuses)
        posts = self.posts

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                status = waiting.pop(0) if waiting else 204
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()
                posts.put((status, self.path, self.headers, body))

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def next(self, timeout=60):
        """The next post, after a look at its signature."""
        status, path, headers, body = self.posts.get(timeout=timeout)
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        expected = "v1," + base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == expected
        return status, path, headers["webhook-id"], json.loads(body)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def start(processes, tmp_path):
    """Starts a gateway whose results may be posted to a port."""
    simulator = processes(Simulator, 1)

    def start(port):
        config = tmp_path / "weir.yaml"
        config.write_text(
            f"""
gateway: {{listen: "127.0.0.1:0"}}
admin: {{listen: "127.0.0.1:0"}}
pools:
  - name: p
    endpoints: [{{url: "{simulator.urls[0]}"}}]
async:
  queues: [{{name: q, embedded: {{path: {tmp_path}/queue.db}}}}]
  webhooks: {{allow: ["http://127.0.0.1:{port}/hooks/"], secret: "${{WEBHOOK_SECRET}}"}}
"""
        )
        return processes(Gateway, config=config, env={"WEBHOOK_SECRET": SECRET})

    return start


def submit(tmp_path, **webhooks):
    lines = [json.dumps({"id": id, "payload": CHAT, "webhook": url}) for id, url in webhooks.items()]
    run("submit", "-", "--queue", tmp_path / "queue.db", input="\n".join(lines))


def test_a_result_is_posted_signed_until_it_arrives(start, tmp_path):
    receiver = Receiver(statuses=[500])
    try:
        start(receiver.port)
        submit(tmp_path, a=f"http://127.0.0.1:{receiver.port}/hooks/x?y=z", b=f"http://127.0.0.1:{receiver.port}/other")
        first, second = receiver.next(), receiver.next()
        assert (first[0], second[0]) == (500, 204)
        assert first[1:] == second[1:]
        assert second[1] == "/hooks/x?y=z"
        [stored] = [r for r in map(json.loads, run("results", "--queue", tmp_path / "queue.db").splitlines()) if r["id"] == "a"]
        assert second[3] == stored and stored["status_code"] == 200
        assert receiver.posts.empty()
    finally:
        receiver.close()


def test_a_post_that_was_due_is_made_after_kill_9(start, tmp_path):
    receiver = Receiver()
    receiver.close()
    gateway = start(receiver.port)
    submit(tmp_path, a=f"http://127.0.0.1:{receiver.port}/hooks/x")
    run("results", "--wait", "--queue", tmp_path / "queue.db", timeout=60)
    gateway.kill()
    back = Receiver(port=receiver.port)
    try:
        start(receiver.port)
        status, _, _, result = back.next()
        assert (status, result["id"], result["status_code"]) == (204, "a", 200)
    finally:
        back.close()
