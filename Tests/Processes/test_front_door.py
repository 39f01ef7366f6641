"""Asynchronous requests over HTTP, against the real program: accepted, asked for, waited for, taken back, posted."""

import base64
import hashlib
import hmac
import http.server
import json
import statistics
import threading
import time

import openai
import pytest

from model_server import Fate, ModelServer
from weir_processes import Gateway, call, depth, eventually, results

CONFIG = """
gateway:
  listen: "127.0.0.1:0"
  tenants: [{tenants}]
admin: {{listen: "127.0.0.1:0"}}
pools: [{{name: p, endpoints: [{{url: "{url}", engine: none}}]}}]
async:
  queues: [{{name: q, embedded: {{path: {folder}/queue.db}}}}]
  retry: {{base: 50ms, cap: 1s}}
  frontDoor: {{longestWait: {longest_wait}}}
{more}
"""
CHAT = "/v1/chat/completions"


def body(name, **fields):
    return {"model": "sim", "max_tokens": 16, "messages": [{"role": "user", "content": f"[[{name}]]"}], **fields}


@pytest.fixture
def server(processes):
    return processes(ModelServer)


@pytest.fixture
def door(processes, server, tmp_path):
    """Starts the gateway, with what a test adds to its configuration."""

    def start(tenants="", longest_wait="30s", more="", env=None):
        config = tmp_path / "weir.yaml"
        config.write_text(
            CONFIG.format(url=server.url, folder=tmp_path, tenants=tenants, longest_wait=longest_wait, more=more)
        )
        return processes(Gateway, config=config, env=env)

    return start


def enqueue(gateway, name, key=None, **headers):
    """Submits a request; the answer, and the id."""
    headers = {"x-weir-mode": "enqueue", **{field.replace("_", "-"): value for field, value in headers.items()}}
    if key:
        headers["authorization"] = f"Bearer {key}"
    status, fields, answer = call("POST", gateway.url + CHAT, body(name), headers)
    return status, fields, answer, fields.get("x-weir-request-id")


def look(gateway, identity, method="GET", key=None):
    headers = {"authorization": f"Bearer {key}"} if key else {}
    status, _, answer = call(method, gateway.url + f"/v1/requests/{identity}", headers=headers)
    return status, answer


def ended(gateway, identity, key=None):
    return eventually(
        lambda: (view := look(gateway, identity, key=key)[1])["status"] not in ("queued", "running") and view, "it does not end"
    )


def test_an_enqueued_request_is_accepted_found_and_answered(server, door, tmp_path):
    gateway = door()
    server.behaviour = lambda request: Fate("hang")
    status, fields, answer, identity = enqueue(gateway, "one", x_weir_metadata_owner="me")
    assert (status, fields["location"]) == (202, f"/v1/requests/{identity}")
    assert (answer["id"], answer["object"], answer["status"]) == (identity, "request", "queued")
    assert answer["metadata"] == {"owner": "me"}
    server.wait_for("begin", "one")
    status, view = look(gateway, identity)
    assert (status, view["status"]) == (200, "running")
    waiting = [enqueue(gateway, f"more-{number}")[3] for number in range(3)]
    status, _, page = call("GET", gateway.url + "/v1/requests?limit=2")
    assert (status, len(page["data"]), page["has_more"]) == (200, 2, True)
    _, _, rest = call("GET", gateway.url + f"/v1/requests?limit=2&after={page['last_id']}")
    assert [entry["id"] for entry in page["data"] + rest["data"]] == [identity, *waiting]
    server.release()
    view = ended(gateway, identity)
    assert (view["status"], view["result"]["status_code"]) == ("succeeded", 200)
    assert view["result"]["body"]["choices"][0]["message"]["content"] == "[[one]]"
    assert view["created_at"] <= view["started_at"] <= view["finished_at"]
    for other in waiting:
        ended(gateway, other)
    _, _, page = call("GET", gateway.url + "/v1/requests?status=succeeded")
    assert len(page["data"]) == 4
    assert look(gateway, "req_unknown")[0] == 404
    assert depth(tmp_path / "queue.db")["results"] == 4


@pytest.mark.parametrize("header", ["X-Weir-Mode", "X-AP-Mode"])
def test_waiting_looks_like_an_ordinary_completion_to_the_openai_package(server, door, tmp_path, header):
    gateway = door()
    client = openai.OpenAI(base_url=gateway.url + "/v1", api_key="none", max_retries=0)
    server.behaviour = lambda request: Fate(status=503) if request.number == 1 else Fate(delay=0.05)
    raw = client.chat.completions.with_raw_response.create(
        model="sim", messages=[{"role": "user", "content": "[[waited]]"}], max_tokens=16, extra_headers={header: "wait"}
    )
    answer = raw.parse()
    assert answer.choices[0].message.content == "[[waited]]"
    assert answer.usage.completion_tokens == 16
    assert len(server.seen("begin", "waited")) == 2, "a failure of the server was not the client's to see"
    (result,) = results(tmp_path / "queue.db")
    assert result["id"] == raw.headers["x-weir-request-id"]


def test_an_error_of_the_model_server_reaches_who_waits_as_it_is(server, door):
    gateway = door()
    client = openai.OpenAI(base_url=gateway.url + "/v1", api_key="none", max_retries=0)
    server.behaviour = lambda request: Fate(status=422)
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        client.chat.completions.create(
            model="sim", messages=[{"role": "user", "content": "[[bad]]"}], extra_headers={"X-Weir-Mode": "wait"}
        )
    assert caught.value.body["message"] == "told to fail"


def test_a_key_is_one_request_however_often_it_is_submitted_even_across_kill_9(processes, server, door, tmp_path):
    gateway = door()
    server.behaviour = lambda request: Fate("hang")
    first = enqueue(gateway, "one", idempotency_key="k1")
    again = enqueue(gateway, "one", idempotency_key="k1")
    assert (first[0], again[0], first[3]) == (202, 202, again[3])
    other = enqueue(gateway, "two", idempotency_key="k1")
    assert (other[0], other[2]["error"]["code"]) == (409, "idempotency_conflict")
    assert enqueue(gateway, "one", idempotency_key="k2")[3] != first[3]
    gateway.kill()
    gateway = door()
    assert enqueue(gateway, "one", idempotency_key="k1")[3] == first[3]
    server.release()
    ended(gateway, first[3])
    done = enqueue(gateway, "one", idempotency_key="k1")
    assert (done[0], done[3], done[2]["status"]) == (200, first[3], "succeeded")
    assert enqueue(gateway, "two", idempotency_key="k1")[0] == 409
    status, _, answer = call("POST", gateway.url + CHAT, body("one"), {"x-weir-mode": "wait", "idempotency-key": "k1"})
    assert (status, answer["choices"][0]["message"]["content"]) == (200, "[[one]]")
    eventually(lambda: depth(tmp_path / "queue.db")["results"] == 2, "not both are done")


def test_taking_back_a_running_request_takes_effect_at_once(server, door, tmp_path, figure):
    gateway = door()
    server.behaviour = lambda request: Fate("hang")
    freed, told = [], []
    for number in range(15):
        name = f"r{number}"
        identity = enqueue(gateway, name)[3]
        server.wait_for("begin", name)
        began = time.monotonic()
        status, view = look(gateway, identity, "DELETE")
        told.append(time.monotonic() - began)
        assert (status, view["status"]) == (200, "cancelled"), view
        freed.append(server.wait_for("gone", name).at - began)
        assert look(gateway, identity, "DELETE") == (200, look(gateway, identity)[1]), "taking back twice is once"
    assert {result["error_code"] for result in results(tmp_path / "queue.db")} == {"CANCELLED"}
    figure(
        f"DELETE of a running request: model server freed after {statistics.median(freed) * 1000:.1f} ms (max"
        f" {max(freed) * 1000:.1f}), answered as cancelled after {statistics.median(told) * 1000:.1f} ms (max"
        f" {max(told) * 1000:.1f}), of {len(freed)}"
    )
    assert statistics.median(freed) < 0.1 and statistics.median(told) < 0.1


def test_taking_back_what_waits_or_is_done(processes, server, door):
    gateway = door()
    server.behaviour = lambda request: Fate("hang") if request.name == "running" else Fate(status=500)
    failing = enqueue(gateway, "failing")[3]
    server.wait_for("end", "failing")
    assert look(gateway, failing, "DELETE")[1]["status"] == "cancelled"
    assert look(gateway, failing)[1]["error"]["code"] == "CANCELLED"
    server.release()
    done = enqueue(gateway, "done")[3]
    ended(gateway, done)
    status, answer = look(gateway, done, "DELETE")
    assert (status, answer["error"]["code"]) == (409, "already_finished")
    assert look(gateway, "req_unknown", "DELETE")[0] == 404


def test_a_waiter_whose_request_is_taken_back_is_told(server, door):
    gateway = door()
    server.behaviour = lambda request: Fate("hang")
    answers = []
    waiting = threading.Thread(
        target=lambda: answers.append(call("POST", gateway.url + CHAT, body("w"), {"x-weir-mode": "wait"}))
    )
    waiting.start()
    server.wait_for("begin", "w")
    (entry,) = call("GET", gateway.url + "/v1/requests")[2]["data"]
    assert look(gateway, entry["id"], "DELETE")[0] == 200
    waiting.join(10)
    assert (answers[0][0], answers[0][2]["error"]["code"]) == (409, "request_cancelled")


def test_tenants_see_nothing_of_one_another(server, door, tmp_path):
    keys = {"ALPHA_KEY": "alpha-key-0123456789abcdef", "BETA_KEY": "beta-key-0123456789abcdef"}
    gateway = door(tenants='{name: alpha, keys: ["${ALPHA_KEY}"]}, {name: beta, keys: ["${BETA_KEY}"]}', env=keys)
    alpha, beta = keys.values()
    server.behaviour = lambda request: Fate("hang")
    _, _, _, ours = enqueue(gateway, "ours", key=alpha, idempotency_key="same")
    status, _, _, theirs = enqueue(gateway, "theirs", key=beta, idempotency_key="same")
    assert status == 202 and ours != theirs
    for method in ("GET", "DELETE"):
        assert look(gateway, ours, method, key=beta)[0] == 404
    for identity, key in ((ours, alpha), (theirs, beta)):
        _, _, page = call("GET", gateway.url + "/v1/requests", headers={"authorization": f"Bearer {key}"})
        assert [entry["id"] for entry in page["data"]] == [identity]
    for key in ("wrong-key-0123456789abcdef", None):
        assert enqueue(gateway, "nobody", key=key)[0] == 401
        assert look(gateway, ours, key=key)[0] == 401
    server.release()
    assert ended(gateway, ours, key=alpha)["status"] == "succeeded"
    ended(gateway, theirs, key=beta)
    assert {result["id"]: result["tenant"] for result in results(tmp_path / "queue.db")} == {ours: "alpha", theirs: "beta"}
    # Keys are for Weir alone: no model server, no log and no file ever has one.
    assert not any("authorization" in request.headers for request in server.requests)
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("queue.db*"))
    said = "\n".join(gateway.lines)
    for key in keys.values():
        assert key not in said and key.encode() not in stored


def test_who_waits_beyond_the_deadline_gets_504_and_the_request_has_ended(server, door):
    gateway = door()
    server.behaviour = lambda request: Fate("hang")
    began = time.monotonic()
    headers = {"x-weir-mode": "wait", "x-llm-d-inference-ttl": "2"}
    status, fields, answer = call("POST", gateway.url + CHAT, body("late"), headers)
    # The deadline and the end of the wait fall together: either may be told.
    assert status == 504 and answer["error"]["code"] in ("deadline_exceeded", "not_finished")
    assert 1.9 < time.monotonic() - began < 4
    view = ended(gateway, fields["x-weir-request-id"])
    assert (view["status"], view["error"]["code"]) == ("expired", "DEADLINE_EXCEEDED")
    server.wait_for("gone", "late")


def test_who_waits_for_longer_than_may_be_fetches_the_result_later(server, door):
    gateway = door(longest_wait="300ms")
    server.behaviour = lambda request: Fate("hang")
    status, fields, answer = call("POST", gateway.url + CHAT, body("long"), {"x-weir-mode": "wait"})
    assert (status, answer["error"]["code"]) == (504, "not_finished")
    identity = fields["x-weir-request-id"]
    assert fields["location"] == f"/v1/requests/{identity}"
    assert server.seen("gone") == []
    server.release()
    assert ended(gateway, identity)["status"] == "succeeded"


def test_a_client_that_leaves_while_it_waits_takes_nothing_back(server, door):
    gateway = door()
    server.behaviour = lambda request: Fate("hang")
    with pytest.raises(TimeoutError):
        call("POST", gateway.url + CHAT, body("left"), {"x-weir-mode": "wait", "idempotency-key": "left"}, timeout=1)
    server.wait_for("begin", "left")
    server.release()
    identity = enqueue(gateway, "left", idempotency_key="left")[3]
    assert ended(gateway, identity)["status"] == "succeeded"
    assert len(server.seen("begin", "left")) == 1


def test_what_cannot_be_accepted_is_said_plainly(server, door):
    gateway = door()
    for headers, status in (
        ({"x-weir-mode": "sometime"}, 400),
        ({"x-weir-mode": "enqueue", "x-weir-deadline": "yesterday"}, 400),
        ({"x-weir-mode": "enqueue", "x-weir-deadline": "2001-01-01T00:00:00Z"}, 400),
        ({"x-weir-mode": "enqueue", "idempotency-key": "k" * 300}, 400),
        ({"x-weir-mode": "enqueue", "x-weir-priority": "100"}, 400),
        ({"x-weir-mode": "enqueue", "x-weir-webhook": "http://10.0.0.1/steal"}, 400),
    ):
        found, _, answer = call("POST", gateway.url + CHAT, body("no"), headers)
        assert found == status and answer["error"]["message"] and answer["error"]["param"], (headers, answer)
    assert call("POST", gateway.url + CHAT, {"messages": []}, {"x-weir-mode": "enqueue"})[0] == 400
    assert call("GET", gateway.url + "/v1/requests")[2]["data"] == []
    assert call("POST", gateway.url + CHAT, body("at-once"), {"x-weir-mode": "passthrough"})[0] == 200


class Receiver(http.server.ThreadingHTTPServer):
    """Takes posts; answers the first ones with an error."""

    daemon_threads = True

    def __init__(self, failures):
        self.posts = []
        self.failures = failures
        self.arrived = threading.Semaphore(0)

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_POST(self):
                self.server.posts.append((self.path, self.headers, self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(500 if len(self.server.posts) <= self.server.failures else 204)
                self.send_header("retry-after", "0")
                self.end_headers()
                self.server.arrived.release()

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def kill(self):
        self.shutdown()
        self.server_close()


def test_a_result_is_posted_signed_again_after_a_failure_and_across_kill_9(processes, server, door):
    receiver = processes(Receiver, failures=1)
    key = b"a secret that nobody else knows!"
    hook = f"http://127.0.0.1:{receiver.server_port}/hooks/"
    more = f'  webhooks: {{allow: ["{hook}"], secret: "${{HOOK_SECRET}}"}}'
    env = {"HOOK_SECRET": "whsec_" + base64.b64encode(key).decode()}
    gateway = door(more=more, env=env)
    status, _, _, identity = enqueue(gateway, "posted", x_weir_webhook=hook + "done?for=me")
    assert status == 202
    assert receiver.arrived.acquire(timeout=20), "nothing was posted"
    gateway.kill()
    door(more=more, env=env)
    assert receiver.arrived.acquire(timeout=40), "it was not posted again"
    for path, headers, content in receiver.posts:
        assert path == "/hooks/done?for=me"
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + content
        expected = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        assert headers["webhook-signature"] == "v1," + expected
        assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
        result = json.loads(content)
        assert (result["id"], result["status_code"]) == (identity, 200)
    assert len({headers["webhook-id"] for _, headers, _ in receiver.posts}) == 1, "a repetition can be told by its id"
