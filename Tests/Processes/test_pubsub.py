"""Queues in Pub/Sub: Google's own client as producer and consumer, Google's emulator in between, the real program."""

import collections
import json
import time

import pytest

from model_server import Fate
from sorted_set import AWKWARD_PAYLOAD, CHAT, message
from weir_processes import Processor, processor_config, pubsub_queue, run


@pytest.fixture
def topics(project):
    """A project with the topics that a queue needs."""
    project.create("requests", "results", "dead-letters")
    return project


@pytest.fixture
def processor(processes, topics, tmp_path):
    """Starts a processor of the usual topics in front of a model server."""

    def start(server, name="weir", settings=None, **pubsub):
        queues = [pubsub_queue(topics, **pubsub)]
        path = processor_config(tmp_path, queues, server.url, name, **(settings or {}))
        return processes(Processor, path, env=topics.environment)

    return start


def test_a_message_becomes_one_result_in_the_topic(processor, topics, servers):
    server = servers()
    processor(server)
    results = topics.consume("results")
    request = message("awkward", payload=AWKWARD_PAYLOAD, metadata={"userid": "overruled", "kept": "yes"})
    (identity,) = topics.publish("requests", [request], userid="u1")
    (published,) = results.wait_for(1)
    result = json.loads(published.data)
    (asked,) = server.requests
    assert (asked.raw, asked.path) == (AWKWARD_PAYLOAD.encode(), CHAT)
    assert asked.headers["x-llm-d-inference-fairness-id"] == "u1"
    assert (result["id"], result["status_code"]) == ("awkward", 200)
    assert json.loads(result["payload"])["choices"][0]["message"]["content"] == "[[awkward]]"
    assert result["metadata"] == {"userid": "u1", "kept": "yes"}
    assert published.attributes["id"] == "awkward"
    assert published.attributes["status"] == "200"
    assert published.attributes["result_key"] == f"awkward/{identity}"
    assert results.refused_acknowledgements == 0


def test_messages_of_an_ordering_key_run_in_their_order(processor, topics, servers):
    topics.create("ordered", enable_message_ordering=True)
    server = servers(lambda request: Fate(status=503) if (request.name, request.number) == ("a-3", 1) else Fate(delay=0.01))
    results = topics.consume("results")
    for number in range(15):
        for key in ("a", "b"):
            topics.publish("ordered", [message(f"{key}-{number}")], ordering_key=key)
    processor(server, subscription="ordered")
    found = results.results(30)
    assert {result["status_code"] for result in found.values()} == {200}
    begun = [event.name for event in server.seen("begin")]
    for key in ("a", "b"):
        order = [f"{key}-{number}" for number in range(15)]
        if key == "a":
            order.insert(3, "a-3")  # it was tried again before the next had its turn
        assert [name for name in begun if name.startswith(key)] == order


def test_results_go_where_the_message_says_if_that_is_allowed(processor, topics, servers):
    topics.create("results-of-a-team")
    processor(servers(), resultRoutes={"team": "results-of-a-team"})
    usual, own = topics.consume("results"), topics.consume("results-of-a-team")
    topics.publish("requests", [message("theirs")], result_route="team")
    topics.publish("requests", [message("anybodys")])
    topics.publish("requests", [message("pushy")], result_route="dead-letters")
    assert own.results(1).keys() == {"theirs"}
    assert own.wait_for(1)[0].attributes["result_route"] == "team"
    assert usual.results(2).keys() == {"anybodys", "pushy"}


def test_what_cannot_be_read_goes_to_the_dead_letters_with_the_reason(processor, topics, servers):
    processor(servers())
    results, letters = topics.consume("results"), topics.consume("dead-letters")
    bad = [b"no json at all", b'{"id":"x","deadline":"soon","payload":{}}', b"\xff\xfe"]
    topics.publish("requests", [bad[0], message("fine"), *bad[1:]], origin="here")
    assert results.results(1).keys() == {"fine"}
    found = letters.wait_for(3)
    assert sorted(letter.data for letter in found) == sorted(bad)
    for letter in found:
        assert letter.attributes["dead_letter_reason"]
        assert letter.attributes["origin"] == "here"


def test_what_may_pass_is_tried_again_until_it_has(processor, topics, servers):
    fates = {1: Fate(status=503), 2: Fate(status=429), 3: Fate("reset"), 4: Fate("cut")}
    server = servers(lambda request: fates.get(request.number, Fate()))
    processor(server, settings={"retry": {"breakerFailures": 100}})
    results = topics.consume("results")
    topics.publish("requests", [message("patient")])
    result = results.results(1, timeout=40)["patient"]
    assert (result["status_code"], result["attempts"], len(server.seen("begin"))) == (200, 5, 5)
    assert len(results.raw) == 1


def test_a_deadline_that_has_passed_is_one_result_without_an_execution(processor, topics, servers):
    server = servers()
    processor(server)
    results = topics.consume("results")
    topics.publish("requests", [message("late", window=-100)])
    assert results.results(1)["late"]["error_code"] == "DEADLINE_EXCEEDED"
    assert results.wait_for(1)[0].attributes["status"] == "DEADLINE_EXCEEDED"
    assert server.requests == []


def test_a_request_that_runs_longer_than_the_ack_deadline_runs_once(processor, topics, servers):
    server = servers(lambda request: Fate(delay=14))
    processor(server, settings={"retry": {"attemptTimeout": "1m"}})
    results = topics.consume("results")
    topics.publish("requests", [message("long")])
    assert results.results(1, timeout=30)["long"]["status_code"] == 200
    assert len(server.seen("begin")) == 1
    assert len(results.raw) == 1


def test_sigterm_hands_back_at_once_what_has_not_started(processor, topics, servers, figure):
    slow = servers(lambda request: Fate("hang"))
    worker = processor(slow, settings={"workerPools": [{"name": "default", "workers": 2}]})
    topics.publish("requests", [message(f"m{number}") for number in range(100)])
    slow.wait_for("begin", count=2)
    began = time.monotonic()
    worker.process.terminate()
    found = topics.pull("requests", 98, timeout=8)
    took = time.monotonic() - began
    figure(f"Pub/Sub: SIGTERM: {len(found)} messages that had not started reached another process after {took:.2f} s")
    assert len({item.message.message_id for item in found}) == 98
    assert took < 1
    slow.release()
    assert worker.process.wait(10) == 0


def test_replicas_share_a_subscription(processor, topics, servers):
    pair = [servers(lambda request: Fate(delay=0.02)) for _ in range(2)]
    for index, server in enumerate(pair):
        few = {"workerPools": [{"name": "default", "workers": 8}]}
        processor(server, f"replica-{index}", settings=few, maxOutstanding=40)
    results = topics.consume("results")
    names = [f"m{number}" for number in range(400)]
    topics.publish("requests", [message(name) for name in names])
    found = results.results(400, timeout=30)
    assert sorted(found) == sorted(names)
    executions = collections.Counter(event.name for server in pair for event in server.seen("begin"))
    assert set(executions.values()) == {1}
    assert len(results.raw) == 400
    assert min(len(server.seen("begin")) for server in pair) > 50, "one of them had hardly anything to do"


def test_setup_makes_what_a_queue_needs_and_says_how_to_go_on(processes, project, servers, tmp_path):
    arguments = ["pubsub", "setup", "--project", project.name, "--name", "batch"]
    done = [run(*arguments, env=project.environment, check=False) for _ in range(2)]
    assert [each.returncode for each in done] == [0, 0]
    first, second = (each.stderr for each in done)
    assert "subscription: batch-requests" in done[0].stdout
    for kind in ("requests", "results", "dead-letters"):
        for name in (project.topic(f"batch-{kind}"), project.subscription(f"batch-{kind}")):
            assert f"created   {name}" in first
            assert f"exists    {name}" in second
    names = {"subscription": "batch-requests", "resultTopic": "batch-results", "deadLetterTopic": "batch-dead-letters"}
    path = processor_config(tmp_path, [pubsub_queue(project, **names)], servers().url)
    processes(Processor, path, env=project.environment)
    results = project.consume("batch-results")
    project.publish("batch-requests", [message("m")])
    assert results.results(1)["m"]["status_code"] == 200
    settings = project.subscriber.get_subscription(subscription=project.subscription("batch-requests"))
    assert settings.enable_exactly_once_delivery
    assert settings.dead_letter_policy.dead_letter_topic == project.topic("batch-dead-letters")
