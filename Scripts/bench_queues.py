"""What `Scripts/bench-queues` runs. Absolute figures depend on the machine: compare the ratios, and only within one run.

The bare client does what a broker's users do without any processor: it puts the messages in, takes them out again, and for
each one stores a result as large as Weir's and deletes the message. Weir's rate is from the first submission, by the same
client, to the last result in the broker, with a model server that takes no time.
"""

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "Tests/Processes"))

import pytest

from proof import JournalingServer, Journals
from servers import PubSubEmulator, RedisServer
from sorted_set import Queue, connect, message
from weir_processes import Process, Processor, Simulator, free_port, processor_config

QUICK = "--quick" in sys.argv
REDIS_MESSAGES, PUBSUB_MESSAGES, SINGLES, ROUNDS = (6_000, 2_000, 100, 1) if QUICK else (20_000, 6_000, 300, 3)
BATCH = 100
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
# 1,000 bytes of prompt.
PROMPT = "word " * 200
ANSWER = (
    '{"id":"c1","object":"chat.completion","created":1,"choices":[{"index":0,"message":'
    '{"role":"assistant","content":"Hi"}}],"usage":{"prompt_tokens":5,"total_tokens":6}}'
)
NGINX = """
daemon off; worker_processes 1; pid %(folder)s/nginx.pid; error_log %(folder)s/nginx.err crit;
events { worker_connections 2048; }
http {
  access_log off; keepalive_requests 1000000000; client_body_temp_path %(folder)s/b; proxy_temp_path %(folder)s/p;
  fastcgi_temp_path %(folder)s/f; uwsgi_temp_path %(folder)s/u; scgi_temp_path %(folder)s/s;
  server { listen 127.0.0.1:%(port)d;
    location / { default_type application/json; return 200 '%(answer)s'; }
    location = /.well-known/none { return 404; } }
}
"""


class InstantServer(Process):
    """A model server that takes no time: nginx with one answer for all, or else `weir sim --instant`."""

    command = ("nginx",)

    def __init__(self, folder):
        port = free_port()
        folder.mkdir()
        (folder / "nginx.conf").write_text(NGINX % {"folder": folder, "port": port, "answer": ANSWER})
        super().__init__("-c", folder / "nginx.conf", "-e", folder / "nginx.err")
        self.url = f"http://127.0.0.1:{port}"


def cpu_s(pid):
    """User and system time of a process so far, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def wait_for(condition, complaint, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(complaint)
        time.sleep(0.005)


def requests(count, prefix):
    messages = [{"role": "user", "content": PROMPT}]
    payload = json.dumps({"model": "sim", "max_tokens": 16, "messages": messages})
    return [message(f"{prefix}{number}", payload=payload, window=3600) for number in range(count)]


def batches(items):
    return [items[first : first + BATCH] for first in range(0, len(items), BATCH)]


def row(name, value, note=""):
    print(f"  {name:44}{value:>12}   {note}".rstrip(), flush=True)


class Measurement:
    """One part of the run: its processes, which end with it."""

    def __init__(self, folder):
        self.folder = folder
        self.started = []

    def start(self, kind, *arguments, **options):
        process = kind(*arguments, **options)
        self.started.append(process)
        return process

    def end(self):
        for process in reversed(self.started):
            process.kill()

    def instant_server(self):
        if shutil.which("nginx"):
            return self.start(InstantServer, self.folder / f"nginx-{uuid.uuid4().hex[:6]}").url
        return self.start(Simulator, 1, "--instant").urls[0]

    def processor(self, queue, target, name, **options):
        settings = {"workerPools": [{"name": "default", "workers": 128}]}
        return self.start(Processor, processor_config(self.folder, [queue], target, name, **settings), **options)


class Round:
    """Seconds and CPU seconds of one round."""

    def __init__(self):
        self.publish = self.pull = self.both = self.weir = self.drain = self.cpu = self.broker_bare = self.broker_weir = 0.0


# MARK: Redis


def fill(queue, batched):
    for batch in batched:
        queue.submit(batch)


def bare_redis(queue, round, result):
    """Puts all in, in pipelines, takes all out again with a result for each; what is deleted needs no more."""
    client = queue.client
    batched = batches(requests(REDIS_MESSAGES, "bare-"))
    began = time.monotonic()
    fill(queue, batched)
    middle = time.monotonic()
    taken = 0
    while taken < REDIS_MESSAGES:
        found = client.zpopmin(queue.name, BATCH)
        with client.pipeline(transaction=False) as pipeline:
            for member, _ in found:
                identity = json.loads(member)["data"]["id"]
                pipeline.lpush(queue.results_name, result)
                pipeline.delete(f"request-active:{identity}", f"request-cancel:{identity}")
            pipeline.execute()
        taken += len(found)
    end = time.monotonic()
    round.publish, round.pull, round.both = middle - began, end - middle, end - began
    assert client.llen(queue.results_name) == REDIS_MESSAGES
    client.delete(queue.results_name)


def weir_redis(run, queue, configuration, target, round, number):
    worker = run.processor(configuration, target, f"weir-{number}")
    server = run.started[0]
    batched = batches(requests(REDIS_MESSAGES, f"weir-{number}-"))
    queue.submit([message(f"warm-{number}")])
    queue.receive()
    before, broker = cpu_s(worker.pid), cpu_s(server.pid)
    began = time.monotonic()
    fill(queue, batched)
    wait_for(lambda: queue.client.llen(queue.results_name) >= REDIS_MESSAGES, "not all results came")
    round.weir = time.monotonic() - began
    round.cpu, round.broker_weir = cpu_s(worker.pid) - before, cpu_s(server.pid) - broker
    check(queue.results(), REDIS_MESSAGES)
    result = queue.client.lindex(queue.results_name, 0)
    queue.client.delete(queue.results_name)
    assert worker.stop() == 0

    fill(queue, batches(requests(REDIS_MESSAGES, f"drain-{number}-")))
    worker = run.processor(configuration, target, f"drain-{number}")
    wait_for(lambda: queue.client.llen(queue.results_name) > 0, "no result came")
    first, began = queue.client.llen(queue.results_name), time.monotonic()
    wait_for(lambda: queue.client.llen(queue.results_name) >= REDIS_MESSAGES, "not all results came")
    round.drain = (time.monotonic() - began) * REDIS_MESSAGES / (REDIS_MESSAGES - first)
    check(queue.results(), REDIS_MESSAGES)
    queue.client.delete(queue.results_name)
    assert worker.stop() == 0
    return result


def check(results, count):
    if len({result["id"] for result in results}) != count or any(result.get("status_code") != 200 for result in results):
        raise RuntimeError(f"{len(results)} results of {count} messages, or not all of them good")


def pick_up(run, queue, configuration):
    """From just before a message is added to an idle queue to its arrival at the model server, one at a time."""
    port, journal = free_port(), run.folder / "journal"
    server = run.start(JournalingServer, "--port", port, "--journal", journal, "--delay", "0", "--sound")
    server.wait_for("ready")
    run.processor(configuration, f"http://127.0.0.1:{port}", "idle")
    added = {}
    for number in range(SINGLES + 5):
        name = f"single-{number}"
        time.sleep(0.02)
        added[name] = time.monotonic()
        queue.submit([message(name)])
        queue.receive()
    arrived = {event.name: event.at for event in Journals([journal]).read() if event.what == "begin"}
    return sorted(arrived[name] - added[name] for name in list(added)[5:])


def redis_part(run):
    server = run.start(RedisServer, run.folder / "redis")
    target = run.instant_server()
    with connect(server.url) as client:
        queue = Queue(client)
        configuration = {"name": "q", "redis": {"url": server.url, "queue": queue.name}}
        rounds = []
        result = json.dumps({"id": "m", "status_code": 200, "payload": ANSWER, "filler": "x" * 300})
        for number in range(ROUNDS):
            round = Round()
            before = cpu_s(server.pid)
            bare_redis(queue, round, result)
            round.broker_bare = cpu_s(server.pid) - before
            result = weir_redis(run, queue, configuration, target, round, number)
            rounds.append(round)
        report(rounds, REDIS_MESSAGES, len(result), "redis-server")
        took = pick_up(run, queue, configuration)
    row("pick-up from an idle queue, p50, ms", f"{statistics.median(took) * 1000:.2f}")
    row("pick-up from an idle queue, p99, ms", f"{took[int(len(took) * 0.99)] * 1000:.2f}", f"of {len(took)}, one at a time")


# MARK: Pub/Sub


def bare_pubsub(project, round, number):
    # A subscription for each consumer: the emulator goes on delivering to one that has stopped.
    project.create(f"bare-{number}")
    ready = requests(PUBSUB_MESSAGES, "bare-")
    began = time.monotonic()
    project.publish(f"bare-{number}", ready)
    middle = time.monotonic()
    consumer = project.consume(f"bare-{number}")
    consumer.wait_for(PUBSUB_MESSAGES, timeout=120)
    end = time.monotonic()
    consumer.stop()
    round.publish, round.pull, round.both = middle - began, end - middle, end - began


def weir_pubsub(run, project, emulator, target, round, number):
    configuration = {"name": "q", "pubsub": {
        "project": project.name, "subscription": f"requests-{number}", "resultTopic": f"results-{number}"}}
    project.create(f"requests-{number}", f"results-{number}")
    worker = run.processor(configuration, target, f"pubsub-{number}", env=project.environment)
    project.publish(f"requests-{number}", requests(1, "warm-"))
    done = "llm_d_async_async_successful_requests_total"
    wait_for(lambda: metric_or_zero(worker, done) >= 1, "the first result did not come")
    before, broker = cpu_s(worker.pid), cpu_s(emulator.pid)
    began = time.monotonic()
    project.publish(f"requests-{number}", requests(PUBSUB_MESSAGES, "weir-"))
    published = time.monotonic()
    wait_for(lambda: metric_or_zero(worker, done) >= PUBSUB_MESSAGES + 1, "not all results came")
    round.weir = time.monotonic() - began
    round.drain = time.monotonic() - published
    round.cpu, round.broker_weir = cpu_s(worker.pid) - before, cpu_s(emulator.pid) - broker
    assert worker.stop() == 0
    consumer = project.consume(f"results-{number}")
    found = consumer.results(PUBSUB_MESSAGES + 1, timeout=120)
    check(found.values(), PUBSUB_MESSAGES + 1)
    consumer.stop()
    return len(consumer.raw[0].data)


def metric_or_zero(worker, name):
    try:
        return worker.metric(name)
    except AssertionError:
        return 0


def pubsub_part(run):
    emulator = run.start(PubSubEmulator)
    os.environ.update(emulator.client_environment)
    from topics import Project

    project = Project("bench", emulator.client_environment)
    try:
        target = run.instant_server()
        rounds = []
        for number in range(ROUNDS + 1):
            round = Round()
            before = cpu_s(emulator.pid)
            bare_pubsub(project, round, number)
            round.broker_bare = cpu_s(emulator.pid) - before
            size = weir_pubsub(run, project, emulator, target, round, number)
            rounds.append(round)
        # The first warms up the emulator's just-in-time compiler.
        report(rounds[1:], PUBSUB_MESSAGES, size, "emulator")
    finally:
        project.close()


def report(rounds, count, size, broker):
    def median(value):
        return statistics.median(value(round) for round in rounds)

    def rate(name):
        return median(lambda round: count / getattr(round, name))

    def ratios(ours, theirs):
        found = sorted(getattr(round, theirs) / getattr(round, ours) for round in rounds)
        return f"{statistics.median(found):.2f} of the bare client's {theirs} ({found[0]:.2f} to {found[-1]:.2f})"

    print(f"  ({count:,} messages, 1,000 bytes of prompt, results of {size} bytes; medians of {len(rounds)} rounds)")
    row("bare client: publish, messages/s", f"{rate('publish'):,.0f}")
    row(f"bare client: pull, {'result, delete' if broker == 'redis-server' else 'acknowledge'}, messages/s", f"{rate('pull'):,.0f}")
    row("bare client: both, messages/s", f"{rate('both'):,.0f}")
    row("weir: submission to result, messages/s", f"{rate('weir'):,.0f}", ratios("weir", "both"))
    if broker == "redis-server":
        row("weir: a full queue, messages/s", f"{rate('drain'):,.0f}", ratios("drain", "pull"))
    row("CPU of weir, µs/message", f"{median(lambda round: round.cpu) / count * 1e6:.1f}")
    row(
        f"CPU of {broker}, µs/message", f"{median(lambda round: round.broker_weir) / count * 1e6:.1f}",
        f"{median(lambda round: round.broker_bare) / count * 1e6:.1f} with the bare client")


def main():
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; loopback; model server: "
          + ("nginx with one answer" if shutil.which("nginx") else "weir sim --instant"))
    failed = False
    for title, part in (("Redis, sorted set", redis_part), ("Pub/Sub, Google's emulator", pubsub_part)):
        print(f"\n{title}", flush=True)
        with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder:
            run = Measurement(Path(folder))
            try:
                part(run)
            except (pytest.skip.Exception, pytest.fail.Exception) as reason:
                print(f"  skipped: {reason}")
            except (RuntimeError, AssertionError, OSError) as error:
                failed = True
                print(f"  failed: {error}")
            finally:
                run.end()
    sys.exit(1 if failed else 0)


main()
