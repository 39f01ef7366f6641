"""Two replicas on one queue of a broker die at any moment, again and again; each message still gets exactly one result.

`WEIR_BROKER_KILLS`, `WEIR_REDIS_MESSAGES`, `WEIR_PUBSUB_MESSAGES` and `WEIR_SEED` make longer, or other, runs.
"""

import collections
import json
import os
import random
import statistics
import threading
import time

import pytest

from proof import JournalingServer, Journals, running_at, taken_over, unexplained_repeats, whole_answers
from sorted_set import VINTAGES, message
from weir_processes import Process, free_port, processor_config

KILLS = int(os.environ.get("WEIR_BROKER_KILLS", 12))
REDIS_MESSAGES = int(os.environ.get("WEIR_REDIS_MESSAGES", 10_000))
PUBSUB_MESSAGES = int(os.environ.get("WEIR_PUBSUB_MESSAGES", 4_000))
SEED = int(os.environ.get("WEIR_SEED", 20_261_122))
# Of the messages so many are there before the first death; the others come while processes die.
FIRST = 0.3
# While processes die, so much of the work is done.
UNDER_FIRE = 0.8
BATCH = 50

ENDS = {
    "plain": {(200, None)},
    "refused": {(400, None)},
    "late": {(None, "DEADLINE_EXCEEDED")},
    "unwanted": {(200, None), (None, "CANCELLED")},
}


def kind(number):
    """A few messages have to end in other ways than most."""
    return {50: "refused", 51: "late", 52: "unreadable", 53: "unwanted"}.get(number % 100, "plain")


def request(number):
    """The message of a number; bytes that are no message now and then."""
    name = f"{kind(number)}-{number}"
    if kind(number) == "unreadable":
        return name.encode()
    payload = {
        "model": "sim", "max_tokens": 0 if kind(number) == "refused" else 16,
        "messages": [{"role": "user", "content": f"Sum up document [[{name}]]. " + "word " * 40}],
    }
    return message(name, payload=payload, window=-5 if kind(number) == "late" else 3600)


class RedisBroker:
    """The queue with the usual names in a Redis server. It never brings a message twice by itself."""

    def __init__(self, queue, url):
        self.queue = queue
        self.random = random.Random(SEED)
        self.environment = {}
        self.configuration = {"name": "q", "lease": "3s", "redis": {"url": url, "queue": queue.name}}
        self.batches = 0

    def submit(self, requests):
        lines = [line for line in requests if isinstance(line, dict)]
        self.queue.submit(lines, VINTAGES[self.batches % 2])
        self.batches += 1
        unreadable = {line: int(time.time()) for line in requests if isinstance(line, bytes)}
        if unreadable:
            self.queue.client.zadd(self.queue.name, unreadable)
        for line in lines:
            if line["id"].startswith("unwanted") and self.random.random() < 0.7:
                self.queue.cancel(line["id"])

    def finished(self):
        return self.queue.client.llen(self.queue.results_name)

    def results(self):
        """Every result in the list, and how many came more than once: none is dropped here."""
        return self.queue.results(), 0

    def unreadable(self):
        return sorted(letter["member"] for letter in self.queue.dead_letters())

    def check_empty(self):
        assert self.queue.counts() == (0, 0, 0)


class PubSubBroker:
    """A subscription and a topic for results, in the emulator."""

    def __init__(self, project):
        self.project = project
        self.environment = project.environment
        project.create("requests", "results", "dead-letters")
        self.configuration = {
            "name": "q",
            "pubsub": {
                "project": project.name, "subscription": "requests", "resultTopic": "results",
                "deadLetterTopic": "dead-letters", "ackDeadline": "10s", "maxOutstanding": 200,
            },
        }
        self.consumer = project.consume("results")
        self.letters = project.consume("dead-letters")

    def submit(self, requests):
        self.project.publish("requests", requests)

    def finished(self):
        return len(self.consumer.by_key)

    def results(self):
        found = list(self.consumer.by_key.values())
        return [json.loads(message.data) for message in found], len(self.consumer.raw) - len(found)

    def unreadable(self):
        # The broker gives each message an id, which the dead letter has, however often it was published.
        by_id = {letter.attributes["dead_letter_message_id"]: letter.data.decode() for letter in list(self.letters.raw)}
        return sorted(by_id.values())

    def check_empty(self):
        assert self.project.pull("requests", 1, timeout=1) == [], "something is left"


class Producer(threading.Thread):
    """Submits the rest of the messages as the work goes on, so that there always is some."""

    def __init__(self, broker, numbers, begun):
        super().__init__(daemon=True)
        self.broker = broker
        self.numbers = numbers
        self.begun = begun
        self.error = None

    def run(self):
        try:
            for first in range(0, len(self.numbers), BATCH):
                lag = self.numbers[first] * UNDER_FIRE - self.begun()
                while lag > FIRST * len(self.numbers):
                    threading.Event().wait(0.02)
                    lag = self.numbers[first] * UNDER_FIRE - self.begun()
                self.broker.submit([request(number) for number in self.numbers[first : first + BATCH]])
        except Exception as error:
            self.error = error


class Run:
    """Two model servers, two replicas, and the moments at which they die."""

    def __init__(self, processes, folder, broker, through_gateway):
        self.processes = processes
        self.environment = broker.environment
        self.random = random.Random(SEED)
        self.journals = Journals([folder / "a.journal", folder / "b.journal"])
        self.ports = [free_port(), free_port()]
        self.servers = [self.start_server(index) for index in range(2)]
        for server in self.servers:
            server.wait_for("ready")
        urls = [f"http://127.0.0.1:{port}" for port in self.ports]
        endpoints = [{"url": url, "engine": "vllm"} for url in urls]
        pools = [{"name": "p", "models": ["sim"], "endpoints": endpoints}]
        self.configurations = [
            processor_config(
                folder, [broker.configuration], name=f"replica-{index}",
                retry={"base": "100ms", "cap": "2s", "attemptTimeout": "2s"},
                workerPools=[{"name": "default", "workers": 40}],
                **({"pools": pools} if through_gateway else {"target": urls[index]}))
            for index in range(2)
        ]
        self.deaths = []
        self.births = []
        self.replicas = [self.start_replica(index) for index in range(2)]

    def start_server(self, index):
        return self.processes(
            JournalingServer, "--port", self.ports[index], "--journal", self.journals.paths[index],
            "--seed", self.random.randrange(1 << 30),
        )

    def start_replica(self, index):
        self.births.append(time.monotonic())
        return self.processes(Process, "serve", "--config", self.configurations[index], env=self.environment)

    def kill(self, process):
        assert process.process.poll() is None, "it ended by itself:\n" + "\n".join(process.lines[-40:])
        self.deaths.append(time.monotonic())
        process.kill()

    def kill_replica(self, index):
        self.kill(self.replicas[index])
        self.replicas[index] = self.start_replica(index)

    def begun(self):
        return sum(1 for event in self.journals.read() if event.what == "begin")

    def await_begun(self, count, timeout=60):
        """Returns when so many more requests have reached the servers."""
        since = len(self.journals.read())
        end = time.monotonic() + timeout
        while self.journals.begun_since(since) < count:
            assert time.monotonic() < end, "no progress:\n" + self.last_words()
            threading.Event().wait(0.005)

    def last_words(self):
        return "\n".join(line for replica in self.replicas for line in replica.lines[-20:])

    def linger(self, longest):
        """Lets a random time pass: the moment of a death, not a wait for anything."""
        threading.Event().wait(self.random.uniform(0, longest))


def prove(processes, folder, broker, count, through_gateway, figure, title):
    numbers = list(range(count))
    first = int(count * FIRST)
    for start in range(0, first, BATCH):
        broker.submit([request(number) for number in numbers[start : min(start + BATCH, first)]])
    began = time.monotonic()
    world = Run(processes, folder, broker, through_gateway)
    producer = Producer(broker, numbers[first:], world.begun)
    producer.start()
    for kill in range(KILLS):
        world.await_begun(1 + int(world.random.uniform(0, 2) * UNDER_FIRE * count / KILLS))
        server_dies = kill % 4 == 1
        if server_dies:
            world.kill(world.servers[1])
        world.linger(0.03)
        victim = world.random.randrange(2)
        world.kill_replica(victim)
        if kill % 4 == 2:
            world.kill_replica(1 - victim)
        if server_dies:
            world.servers[1] = world.start_server(1)
    deaths = sorted(world.deaths)
    expected = {f"{kind(number)}-{number}" for number in numbers}
    unreadable = sorted(name for name in expected if name.startswith("unreadable"))
    expected -= set(unreadable)
    assert broker.finished() < len(expected), "killed too late to show anything"
    producer.join(60)
    assert not producer.is_alive() and producer.error is None, producer.error
    end = time.monotonic() + 60
    while broker.finished() < len(expected) or len(broker.unreadable()) < len(unreadable):
        if time.monotonic() > end:
            missing = expected - {result["id"] for result in broker.results()[0]}
            pytest.fail(
                f"lost, or still under way: {len(missing)} such as {sorted(missing)[:5]};"
                f" {len(broker.unreadable())} of {len(unreadable)} unreadable\n" + world.last_words())
        threading.Event().wait(0.05)
    took = time.monotonic() - began
    for replica in world.replicas:
        assert replica.stop() == 0
    broker.check_empty()

    found, dropped = broker.results()
    counts = collections.Counter(result["id"] for result in found)
    assert expected - counts.keys() == set(), "lost"
    assert counts.keys() - expected == set(), "invented"
    assert [name for name, times in counts.items() if times > 1] == [], "twice"
    assert broker.unreadable() == unreadable
    ends = collections.Counter()
    for result in found:
        end = result.get("status_code"), result.get("error_code")
        ends[end] += 1
        assert end in ENDS[result["id"].split("-")[0]], result
        if end == (200, None):
            text = json.loads(result["payload"])
            assert text["choices"][0]["message"]["content"] == f"[[{result['id']}]]", "somebody else's answer"

    events = sorted(world.journals.read(), key=lambda event: event.at)
    whole = whole_answers(events)
    unexplained = unexplained_repeats(whole, deaths)
    assert not unexplained, f"ran twice and nobody had died: {unexplained}"
    in_flight = running_at(deaths, events)
    assert sum(1 for running in in_flight if running) >= 0.7 * len(deaths), f"hardly anything ran: {in_flight}"
    answered = ends[200, None]
    extra = sum(len(moments) for moments in whole.values()) - answered
    begun = sum(1 for event in events if event.what == "begin")
    waits = taken_over(deaths, events)
    replica_deaths = len(world.births) - 2
    figure(
        f"kill -9, {title}: {count:,} messages, {replica_deaths} deaths of 2 replicas, {len(deaths) - replica_deaths} of a"
        f" model server, {took:.0f} s; 0 lost, 0 invented, 0 results twice; {dropped} duplicates on the wire"
    )
    figure("  results: " + ", ".join(f"{times} {code or status}" for (status, code), times in ends.most_common()))
    figure(
        f"  executions: {extra} whole answers beyond one per message ({extra / answered:.2%}), {begun} begun;"
        f" {statistics.median(in_flight)} ran when a process died; interrupted work began again after"
        f" {statistics.median(waits):.1f} s (max {max(waits):.1f}) of {len(waits)}"
        + (f"; {len(unexplained)} ran twice although nobody had died" if unexplained else "")
    )
    assert extra < 0.2 * answered
    return dropped


def test_kill_9_of_two_replicas_on_a_redis_queue(processes, redis_server, queue, tmp_path, figure):
    dropped = prove(
        processes, tmp_path, RedisBroker(queue, redis_server.url), REDIS_MESSAGES, False, figure, "Redis")
    assert dropped == 0


def test_kill_9_of_two_replicas_on_a_pubsub_subscription(processes, project, tmp_path, figure):
    prove(processes, tmp_path, PubSubBroker(project), PUBSUB_MESSAGES, True, figure, "Pub/Sub")
