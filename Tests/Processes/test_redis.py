"""Queues in Redis: producers and consumers of llm-d-async on one side, the real server in between, the real program."""

import collections
import json
import subprocess
import time

import pytest

from model_server import Fate
from servers import RedisServer
from sorted_set import AWKWARD_PAYLOAD, CHAT, VINTAGES, Queue, chat, connect, message
from weir_processes import Processor, eventually, free_port, processor_config, redis_queue

ONE_WORKER = [{"name": "default", "workers": 1}]


@pytest.fixture
def processor(processes, redis_server, tmp_path):
    """Starts a processor of the usual queue in front of a model server."""

    def start(server, name="weir", settings=None, queue_settings=None):
        queues = [redis_queue(redis_server, **(queue_settings or {}))]
        return processes(Processor, processor_config(tmp_path, queues, server.url, name, **(settings or {})))

    return start


# MARK: The wire


@pytest.mark.parametrize("vintage", VINTAGES)
def test_a_message_of_each_vintage_becomes_one_result_on_the_list(processor, queue, servers, vintage):
    server = servers()
    processor(server)
    request = message("awkward", payload=AWKWARD_PAYLOAD, metadata={"userid": "u1"}, headers={"x-told": "yes"})
    token = queue.submit([request], vintage)["awkward"]
    result = queue.receive()
    (asked,) = server.requests
    assert asked.raw == AWKWARD_PAYLOAD.encode()
    assert (asked.path, asked.headers["content-type"]) == (CHAT, "application/json")
    assert asked.headers["x-llm-d-inference-fairness-id"] == "u1"
    assert "x-told" not in asked.headers, "a producer's header fields go out only where that is configured"
    assert (result["id"], result["status_code"], result["request_token"]) == ("awkward", 200, token)
    assert json.loads(result["payload"])["choices"][0]["message"]["content"] == "[[awkward]]"
    assert "error_code" not in result and "error_message" not in result
    assert (result["metadata"], result["model"], result["attempts"]) == ({"userid": "u1"}, "sim", 1)
    assert queue.client.llen(queue.results_name) == 0
    assert queue.counts() == (0, 0, 0)
    assert queue.client.exists("request-active:awkward", "request-cancel:awkward") == 0


def test_an_answer_that_refuses_is_the_result(processor, queue, servers):
    processor(servers(lambda request: Fate(status=404)))
    queue.submit([message("m")], "older")
    result = queue.receive()
    assert result["status_code"] == 404
    assert json.loads(result["payload"])["error"]["message"] == "told to fail"


def test_results_go_where_the_queue_or_the_message_says(processes, processor, redis_server, queue, servers, tmp_path):
    server = servers()
    processor(server)
    queue.submit([message("named", result_queue_name="results-of-a-client"), message("unnamed")], "older")
    queue.submit([message("named-2", result_queue_name="results-of-a-client")])
    assert queue.receive()["id"] == "unnamed"
    assert queue.receive_all(2, name="results-of-a-client").keys() == {"named", "named-2"}

    other = Queue(queue.client, "other-requests")
    settings = {"queue": "other-requests", "resultQueueOverride": "results-of-the-queue", "resultTTL": "1h"}
    processes(Processor, processor_config(tmp_path, [redis_queue(redis_server, **settings)], server.url, "other"))
    other.submit([message("overruled", result_queue_name="results-of-a-client")])
    eventually(lambda: queue.client.llen("results-of-the-queue") == 1, "no result")
    assert 3500 < queue.client.ttl("results-of-the-queue") <= 3600
    assert queue.client.llen("results-of-a-client") == 0


def test_the_earliest_deadline_goes_first_and_equals_in_the_order_of_submission(processor, queue, servers):
    server = servers()
    queue.submit([message("third", window=900)], "older")
    queue.submit([message("first", window=300), message("second", window=600)], "older")
    base = message("tie-1", window=1200)
    queue.submit([{**base, "id": name, "payload": chat(name)} for name in ("tie-1", "tie-2", "tie-3", "tie-4")])
    processor(server, settings={"workerPools": ONE_WORKER})
    queue.receive_all(7)
    assert [event.name for event in server.seen("begin")] == [
        "first", "second", "third", "tie-1", "tie-2", "tie-3", "tie-4"]


def test_what_cannot_be_read_is_kept_with_the_reason_and_stands_in_nobodys_way(processor, queue, servers):
    bad = {
        "no json at all": 0, '{"request_kind":"plain"}': 1,
        '{"request_kind":"novel","data":{"id":"novel","deadline":1999999999,"payload":{}}}': 2,
        '{"request_kind":"plain","data":{"id":"timeless","payload":{}}}': 3,
    }
    queue.client.zadd(queue.name, bad)
    queue.submit([message("fine")])
    processor(servers())
    letters = eventually(lambda: len(found := queue.dead_letters()) >= 3 and found, "not all were kept")
    assert all(letter["reason"] for letter in letters)
    # What has an id can be told to whoever asked.
    found = queue.receive_all(3)
    assert found["fine"]["status_code"] == 200
    assert found["novel"]["error_code"] == "INVALID_REQUEST"
    assert found["timeless"]["error_code"] == "INVALID_REQUEST"
    assert sorted(letter["member"] for letter in letters if "timeless" not in letter["member"]) == sorted(
        text for text in bad if "timeless" not in text)
    assert queue.counts() == (0, 0, 0)


# MARK: Time, cancellation, failures


def test_a_deadline_that_has_passed_is_one_result_without_an_execution(processor, queue, servers):
    server = servers(lambda request: Fate("hang"))
    queue.submit([message("late", window=-100)], "older")
    processor(server)
    queue.submit([message("slow", window=2)])
    found = queue.receive_all(2)
    assert {name: result["error_code"] for name, result in found.items()} == dict.fromkeys(
        ("late", "slow"), "DEADLINE_EXCEEDED")
    assert all(json.loads(result["payload"])["error"] for result in found.values())
    assert server.seen("begin", "late") == []
    assert len(server.seen("begin", "slow")) == 1
    assert queue.counts() == (0, 0, 0)


@pytest.mark.parametrize("vintage", VINTAGES)
def test_what_is_cancelled_before_it_is_taken_does_not_run(processor, queue, servers, vintage):
    server = servers()
    queue.submit([message("unwanted"), message("wanted")], vintage)
    assert queue.cancel("unwanted")
    assert not queue.cancel("unknown")
    processor(server)
    found = queue.receive_all(2)
    assert (found["unwanted"]["error_code"], found["wanted"]["status_code"]) == ("CANCELLED", 200)
    assert server.seen("begin", "unwanted") == []


def test_what_is_cancelled_while_it_runs_is_ended_at_once(processor, queue, servers, figure):
    server = servers(lambda request: Fate("hang"))
    processor(server)
    queue.submit([message("running")])
    server.wait_for("begin", "running")
    began = time.monotonic()
    assert queue.cancel("running")
    took = server.wait_for("gone", "running").at - began
    assert queue.receive()["error_code"] == "CANCELLED"
    figure(f"Redis: a running request was ended {took * 1000:.0f} ms after its producer cancelled it")
    assert took < 1


def test_a_cancellation_of_an_earlier_use_of_an_id_does_not_touch_the_next(processor, queue, servers):
    processor(servers())
    queue.submit([message("again")])
    assert queue.receive()["status_code"] == 200
    queue.client.set("request-cancel:again", "a token of earlier days")
    queue.submit([message("again")])
    assert queue.receive()["status_code"] == 200


def test_what_may_pass_is_tried_again_until_it_has(processor, queue, servers):
    port = free_port()
    saturated = ("x-llm-d-request-dropped-reason", "rejected-saturated")
    fates = {1: Fate(status=503), 2: Fate(status=503, headers=(saturated,)), 3: Fate("reset"), 4: Fate("cut")}

    class Nobody:
        url = f"http://127.0.0.1:{port}"

    worker = processor(Nobody, settings={"retry": {"breakerFailures": 100}})
    queue.submit([message("patient")])
    eventually(lambda: queue.counts()[1] == 1, "it does not wait for its next attempt")
    assert queue.client.llen(queue.results_name) == 0
    server = servers(lambda request: fates.get(request.number, Fate()), port=port)
    result = queue.receive()
    assert (result["status_code"], len(server.seen("begin"))) == (200, 5)
    assert result["attempts"] >= 5
    assert queue.counts() == (0, 0, 0)
    assert worker.stop() == 0


# MARK: Several processes, and their ends


def test_sigterm_hands_back_at_once_what_has_not_started(processor, queue, servers, figure):
    slow = servers(lambda request: Fate("hang"))
    worker = processor(slow, settings={"workerPools": [{"name": "default", "workers": 2}]})
    queue.submit([message(f"m{number}") for number in range(200)])
    slow.wait_for("begin", count=2)
    eventually(lambda: queue.counts()[2] > 2, "nothing but what runs has been taken")
    began = time.monotonic()
    worker.process.terminate()
    eventually(lambda: queue.counts() == (198, 0, 2), "it was not handed back", timeout=10)
    took = time.monotonic() - began
    figure(f"Redis: SIGTERM: 198 messages that had not started were back in the queue after {took * 1000:.0f} ms")
    assert took < 1
    slow.release()
    assert worker.process.wait(10) == 0
    quick = servers()
    processor(quick, "next")
    found = queue.receive_all(200)
    assert {result["status_code"] for result in found.values()} == {200}
    executions = collections.Counter(event.name for server in (slow, quick) for event in server.seen("begin"))
    assert set(executions.values()) == {1}, "something ran twice after a stop in good order"


def test_what_does_not_finish_within_the_grace_goes_back_and_can_be_taken_at_once(processor, queue, servers):
    slow = servers(lambda request: Fate("hang"))
    worker = processor(slow, settings={"drain": "500ms"})
    queue.submit([message("m")])
    slow.wait_for("begin")
    assert worker.stop() == 0
    assert queue.counts() == (1, 0, 0)
    processor(servers(), "next")
    assert queue.receive()["status_code"] == 200


def test_replicas_share_a_queue_without_doing_anything_twice(processor, queue, servers):
    pair = [servers(lambda request: Fate(delay=0.02)) for _ in range(2)]
    for index, server in enumerate(pair):
        processor(server, f"replica-{index}", settings={"workerPools": [{"name": "default", "workers": 8}]})
    names = [f"m{number}" for number in range(600)]
    for first in range(0, 600, 20):
        queue.submit([message(name) for name in names[first : first + 20]], VINTAGES[first // 20 % 2])
    found = queue.receive_all(600)
    assert sorted(found) == sorted(names)
    executions = collections.Counter(event.name for server in pair for event in server.seen("begin"))
    assert set(executions.values()) == {1}
    assert min(len(server.seen("begin")) for server in pair) > 50, "one of them had hardly anything to do"


def test_a_claim_of_a_processor_that_died_is_taken_over_when_its_lease_ends(processor, queue, servers, figure):
    slow = servers(lambda request: Fate("hang"))
    worker = processor(slow)
    queue.submit([message("orphan")])
    slow.wait_for("begin", "orphan")
    quick = servers()
    processor(quick, "next")
    began = time.monotonic()
    worker.kill()
    took = quick.wait_for("begin", "orphan").at - began
    assert queue.receive()["status_code"] == 200
    figure(f"Redis: another replica took over {took:.1f} s after a kill -9; the lease is 3 s")
    assert took < 5


def test_a_server_that_dies_and_comes_back_loses_nothing(processes, servers, tmp_path, figure):
    first = processes(RedisServer, tmp_path / "redis", "--appendfsync", "always")
    server = servers(lambda request: Fate(delay=0.01))
    names = [f"m{number}" for number in range(1500)]
    with connect(first.url) as client:
        queue = Queue(client)
        queue.submit([message(name) for name in names])
        for index in range(2):
            queues = [redis_queue(first)]
            processes(Processor, processor_config(tmp_path, queues, server.url, f"replica-{index}"))
        server.wait_for("end", count=300)
        first.kill()
        second = processes(RedisServer, tmp_path / "redis", "--appendfsync", "always", port=first.port)
        back = time.monotonic()
        before = len(server.seen("begin"))
        took = server.wait_for("begin", count=before + 1).at - back
        found = queue.receive_all(len(names))
        assert sorted(found) == sorted(names)
        assert {result["status_code"] for result in found.values()} == {200}
        eventually(lambda: queue.counts() == (0, 0, 0), "something is left")
        assert client.llen(queue.results_name) == 0
    executions = collections.Counter(event.name for event in server.seen("begin"))
    repeated = sum(count - 1 for count in executions.values())
    figure(f"Redis: a server killed and started again: work went on after {took * 1000:.0f} ms, {repeated} ran twice")
    assert repeated <= 200
    second.kill()


# MARK: Access and the ephemeral transport


def test_tls_and_a_user_with_a_password(processes, servers, tmp_path):
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
         "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate], check=True, capture_output=True)
    port = free_port()
    (tmp_path / "users.acl").write_text("user default off\nuser weir on >secret-word ~* &* +@all\n")
    processes(
        RedisServer, tmp_path / "redis", "--tls-port", port, "--tls-cert-file", certificate, "--tls-key-file", key,
        "--tls-ca-cert-file", certificate, "--tls-auth-clients", "no", "--aclfile", tmp_path / "users.acl")
    url = f"rediss://weir:secret-word@127.0.0.1:{port}"
    queues = [redis_queue(url, tls={"caFile": str(certificate)})]
    worker = processes(Processor, processor_config(tmp_path, queues, servers().url))
    with connect(url, ssl_ca_certs=str(certificate)) as client:
        queue = Queue(client)
        queue.submit([message("m")])
        assert queue.receive()["status_code"] == 200
    assert worker.stop() == 0
    assert "secret-word" not in "\n".join(worker.lines)


def test_channels_carry_a_request_to_its_result(processes, redis_server, servers, tmp_path):
    server = servers()
    queues = [redis_queue(redis_server, transport="channel", queue="request-queue")]
    processes(Processor, processor_config(tmp_path, queues, server.url))
    with connect(redis_server.url) as client:
        subscription = client.pubsub()
        subscription.subscribe("result-queue")
        assert subscription.get_message(timeout=10)["type"] == "subscribe"
        request = message("m")
        envelope = {"internal": {}, "request_kind": "plain", "data": request}
        eventually(lambda: client.publish("request-queue", json.dumps(envelope)), "nobody listens")
        heard = eventually(lambda: subscription.get_message(timeout=1), "no result")
        result = json.loads(heard["data"])
        assert (result["id"], result["status_code"]) == ("m", 200)
