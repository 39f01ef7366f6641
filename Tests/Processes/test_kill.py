"""Every process dies at any moment, again and again, and each accepted message still gets exactly one result.

`WEIR_KILLS`, `WEIR_MESSAGES` and `WEIR_SEED` make a longer, or another, run of the large test.
"""

import collections
import http.client
import json
import os
import random
import statistics
import subprocess
import threading
import time

from proof import JournalingServer, Journals, running_at, unexplained_repeats, whole_answers
from weir_processes import BINARY, Process, Simulator, call, depth, eventually, free_port, metric, results, run

KILLS = int(os.environ.get("WEIR_KILLS", 20))
MESSAGES = int(os.environ.get("WEIR_MESSAGES", 10_000))
SEED = int(os.environ.get("WEIR_SEED", 20_261_122))
DOOR_REQUESTS = max(60, MESSAGES // 100)
# Shares of the run's work that the servers of this file see, and that is done while processes are being killed.
SEEN, UNDER_FIRE = 0.4, 0.5

CONFIG = """
gateway: {{listen: "127.0.0.1:{gateway}"}}
admin: {{listen: "127.0.0.1:{admin}"}}
pools:
  - name: p
    models: [sim]
    endpoints: [{endpoints}]
async:
  queues: [{{name: q, maxInFlight: 60, embedded: {{path: {queue}}}}}]
  retry: {{base: 100ms, cap: 2s, rejectionPause: 100ms, attemptTimeout: 2s, breakerCap: 1s}}
"""


def chat(name, **fields):
    messages = [{"role": "user", "content": f"Sum up document [[{name}]]. " + "word " * 40}]
    return {"model": "sim", "max_tokens": 16, "ignore_eos": True, "messages": messages, **fields}


def batch_line(name, **fields):
    return {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": chat(name, **fields)}


def line(number):
    """One message of the large run; a few of them have to end in other ways than most."""
    if number % 100 == 50:
        return batch_line(f"refused-{number}", max_tokens=0)
    if number % 100 == 51:
        return batch_line(f"unknown-{number}", model="nobody")
    if number % 100 == 52:
        return {"id": f"late-{number}", "created": 1_700_000_000, "deadline": 1_700_000_001, "payload": chat(f"late-{number}")}
    return batch_line(f"plain-{number}")


# How those end whose owner does not take them back: status and error code.
ENDS = {
    "plain": (200, None),
    "door": (200, None),
    "refused": (400, None),
    "unknown": (404, None),
    "late": (None, "DEADLINE_EXCEEDED"),
}


def made_at(request_id):
    """Calendar time, in seconds, at which the gateway made an id: its first twelve digits are milliseconds."""
    return int(request_id[:12], 16) / 1000


class Caller(threading.Thread):
    """Somebody at the front door, who repeats under the same key whatever was not answered, and takes some requests back."""

    def __init__(self, url, seed):
        super().__init__(daemon=True)
        self.url = url
        self.random = random.Random(seed)
        self.submitted = []  # ids that the command line has been told are accepted; anybody may add
        self.accepted = {}  # id: name
        self.answers = {}  # id: status of the answer that was waited for
        self.taken_back = set()
        self.cancelled = set()
        self.repeats = 0
        self.error = None

    def run(self):
        try:
            for number in range(DOOR_REQUESTS):
                self.ask(f"door-{number}")
        except Exception as error:
            self.error = error

    def ask(self, name):
        mode = self.random.choice(["enqueue", "wait"])
        headers = {"x-weir-mode": mode, "idempotency-key": name, "x-weir-deadline": "10m"}
        status, fields, _ = self.insist("POST", "/v1/chat/completions", chat(name), headers)
        assert status in ((200, 202) if mode == "enqueue" else (200,)), (name, mode, status)
        identity = fields["x-weir-request-id"]
        self.accepted[identity] = name
        if mode == "wait":
            self.answers[identity] = status
        dice = self.random.random()
        if dice < 0.2 and mode == "enqueue":
            self.take_back(identity)
        elif dice < 0.5 and self.submitted:
            self.take_back(self.submitted[self.random.randrange(len(self.submitted))])

    def take_back(self, identity):
        self.taken_back.add(identity)
        status, _, view = self.insist("DELETE", f"/v1/requests/{identity}")
        assert status in (200, 202, 409), (identity, status, view)
        if status == 200:
            self.cancelled.add(identity)

    def insist(self, method, path, body=None, headers=None):
        """Asks until somebody answers: the server is dead now and then."""
        end = time.monotonic() + 120
        while True:
            try:
                answer = call(method, self.url + path, body, headers)
                if answer[0] != 503:
                    return answer
            except (OSError, http.client.HTTPException):
                self.repeats += 1
            assert time.monotonic() < end, "nobody answers any more"
            threading.Event().wait(0.02)


class Submission:
    """`weir submit` of one file, perhaps killed on its way, repeated until it has said that all is accepted."""

    def __init__(self, queue, path, numbers):
        self.command = [str(BINARY), "submit", str(path), "--queue", str(queue)]
        self.names = []
        with open(path, "w") as file:
            for number in numbers:
                message = line(number)
                self.names.append(message.get("custom_id") or message["id"])
                file.write(json.dumps(message) + "\n")
        self.process = None
        self.output = None
        self.was_killed = False

    def begin(self):
        self.output = None
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def kill(self):
        self.process.kill()
        self.output = self.process.communicate()
        self.was_killed = self.process.returncode < 0

    def finish(self):
        """(accepted, already known)"""
        said, complaints = self.output or self.process.communicate(timeout=120)
        assert self.process.returncode == 0, complaints
        counts = [part.strip().split(" ", 1) for part in said.partition("(")[0].split(",")]
        counts = {words: int(number) for number, words in counts}
        counts = counts.get("accepted", 0), counts.get("already known", 0)
        assert sum(counts) == len(self.names), said
        return counts


class Run:
    """The processes of the large run, and the moments at which they die."""

    def __init__(self, processes, folder):
        self.processes = processes
        self.random = random.Random(SEED)
        self.queue = folder / "queue.db"
        self.config = folder / "weir.yaml"
        self.journals = Journals([folder / "a.journal", folder / "b.journal"])
        self.ports = [free_port(), free_port()]
        self.gateway_port, admin = free_port(), free_port()
        self.simulator = processes(Simulator, 2, "--instant")
        for url in self.simulator.urls:
            faults = {"rejectPerMille": 10, "retryAfterSeconds": 0, "errorPerMille": 20, "hangPerMille": 4, "cutPerMille": 15}
            status, _, _ = call("POST", url + "/admin/faults", {**faults, "delayMilliseconds": 100})
            assert status == 200
        urls = self.simulator.urls + [f"http://127.0.0.1:{port}" for port in self.ports]
        endpoints = ", ".join(f'{{url: "{url}", engine: vllm}}' for url in urls)
        self.config.write_text(
            CONFIG.format(gateway=self.gateway_port, admin=admin, endpoints=endpoints, queue=self.queue)
        )
        self.servers = [self.start_server(0), self.start_server(1)]
        for server in self.servers:
            server.wait_for("ready")
        self.deaths = []  # monotonic times
        self.births = []  # (monotonic, calendar time, process)
        self.serve = None

    def start_server(self, index):
        return self.processes(
            JournalingServer, "--port", self.ports[index], "--journal", self.journals.paths[index],
            "--seed", self.random.randrange(1 << 30),
        )

    def start_serve(self):
        born = time.monotonic(), time.time()
        self.serve = self.processes(Process, "serve", "--config", self.config)
        self.births.append((*born, self.serve))

    def kill_serve(self):
        assert self.serve.process.poll() is None, "it ended by itself:\n" + "\n".join(self.serve.lines[-40:])
        self.deaths.append(time.monotonic())
        self.serve.kill()

    def kill_server(self):
        self.deaths.append(time.monotonic())
        self.servers[1].kill()

    def await_dispatches(self, count):
        """Returns when so many more requests have reached the journaling servers."""
        since = len(self.journals.read())
        end = time.monotonic() + 60
        while self.journals.begun_since(since) < count:
            assert time.monotonic() < end, "no progress:\n" + "\n".join(self.serve.lines[-40:])
            threading.Event().wait(0.005)

    def linger(self, longest):
        """Lets a random time pass: the moment of a death, not a wait for anything."""
        threading.Event().wait(self.random.uniform(0, longest))

    def recoveries(self):
        """Seconds from each start to "ready" and to the first request at a journaling server, where it lived that long."""
        begun = [(event.at, made_at(event.detail)) for event in self.journals.read() if event.what == "begin"]
        begun.sort()
        ready, dispatch = [], []
        for index, (at, calendar, process) in enumerate(self.births[1:], start=1):
            end = self.births[index + 1][0] if index + 1 < len(self.births) else float("inf")
            said = process.said_at("ready")
            if said:
                ready.append(said - at)
            # Requests of the dead may still lie in the server's sockets: their ids tell.
            first = next((moment for moment, made in begun if at < moment < end and made >= int(calendar * 1000) / 1000), None)
            if first:
                dispatch.append(first - at)
        return ready, dispatch


def test_kill_9_of_everything_loses_nothing_and_answers_nothing_twice(processes, tmp_path, figure):
    world = Run(processes, tmp_path)
    portions = 8
    firsts = [0] + [MESSAGES * (portion + 4) // (portions + 4) for portion in range(1, portions + 1)]
    submissions = [
        Submission(world.queue, tmp_path / f"{index}.jsonl", range(firsts[index], firsts[index + 1]))
        for index in range(portions)
    ]
    began = time.monotonic()
    submissions[0].begin()
    submissions[0].finish()
    with open(tmp_path / "followed", "w") as followed:
        follower = subprocess.Popen([str(BINARY), "results", "--follow", "--queue", str(world.queue)], stdout=followed)
    caller = Caller(f"http://127.0.0.1:{world.gateway_port}", SEED)
    known_before = killed_submissions = 0
    try:
        world.start_serve()
        caller.start()
        rest = submissions[1:]
        rounds = [int(index * KILLS * UNDER_FIRE / len(rest)) for index in range(len(rest))]
        for kill in range(KILLS):
            server_dies = kill % 4 == 1
            under_way = rest[rounds.index(kill)] if kill in rounds else None
            share = world.random.uniform(0, 2) * UNDER_FIRE * SEEN * MESSAGES / KILLS
            world.await_dispatches(1 + int(share / 2))
            if server_dies:
                world.kill_server()
            if under_way:
                under_way.begin()
                world.linger(0.15)
                if kill % 2 == 0:
                    under_way.kill()
            world.await_dispatches(1 + int(share / 2))
            world.linger(0.03)
            world.kill_serve()
            world.start_serve()
            if kill % 5 == 2:  # and once more, before it has come far
                world.linger(0.3)
                world.kill_serve()
                world.start_serve()
            if server_dies:
                world.servers[1] = world.start_server(1)
            if under_way:
                if under_way.was_killed:
                    killed_submissions += 1
                    under_way.begin()
                known_before += under_way.finish()[1]
                caller.submitted += under_way.names
        for submission in rest:
            if submission.process is None:
                submission.begin()
                submission.finish()
        left = depth(world.queue)
        assert left["ready"] + left["leased"] + left["delayed"] > 0, "killed too late to show anything"
        caller.join(timeout=180)
        assert not caller.is_alive() and caller.error is None, caller.error
        found = results(world.queue, "--wait", timeout=180)
        took = time.monotonic() - began
        eventually(lambda: (tmp_path / "followed").read_text().count("\n") >= len(found), "the follower missed some")
    finally:
        follower.kill()
        follower.wait()

    names = {name: name for submission in submissions for name in submission.names} | caller.accepted
    counts = collections.Counter(result["id"] for result in found)
    assert names.keys() - counts.keys() == set(), "lost"
    assert counts.keys() - names.keys() == set(), "invented"
    assert [identity for identity, count in counts.items() if count > 1] == [], "twice"
    followed = [json.loads(entry)["id"] for entry in (tmp_path / "followed").read_text().splitlines()]
    assert sorted(followed) == sorted(counts)
    assert len({result["request_token"] for result in found}) == len(found)

    ends = collections.Counter()
    for result in found:
        name = names[result["id"]]
        end = result.get("status_code"), result.get("error_code")
        ends[end] += 1
        if end[1] == "CANCELLED":
            assert result["id"] in caller.taken_back, result
        else:
            assert result["id"] not in caller.cancelled, result
            assert end == ENDS[name.split("-")[0]], result
        if end == (200, None):
            text = json.loads(result["payload"])
            assert text["usage"]["completion_tokens"] == 16
            if int(result["endpoint"].rsplit(":", 1)[1]) in world.ports:
                assert text["choices"][0]["message"]["content"] == f"[[{name}]]", "somebody else's answer"
    assert set(caller.answers.values()) <= {200}
    empty = depth(world.queue)
    assert (empty["ready"], empty["leased"], empty["delayed"], empty["results"]) == (0, 0, 0, len(found))
    for submission in submissions:
        submission.begin()
        assert submission.finish() == (0, len(submission.names))
    assert world.serve.stop() == 0

    # Work that was done more than once.
    deaths = sorted(world.deaths)
    whole = whole_answers(world.journals.read())
    assert unexplained_repeats(whole, deaths) == [], "ran twice and nobody had died"
    in_flight = running_at(deaths, world.journals.first_only)
    assert sum(1 for count in in_flight if count) >= 0.7 * KILLS, f"hardly anything ran when processes died: {in_flight}"
    simulated = sum(
        metric(url + "/metrics", f'vllm:request_success_total{{engine="0",model_name="sim",finished_reason="{reason}"}}')
        for url in world.simulator.urls for reason in ("stop", "length")
    )
    journaled = sum(len(moments) for moments in whole.values())
    answered = ends[200, None]
    extra = int(simulated + journaled - answered)
    begun = sum(1 for event in world.journals.events if event.what == "begin")
    ready, dispatch = world.recoveries()
    figure(
        f"kill -9: {len(names):,} messages, {len(world.births) - 1} deaths of serve, {KILLS // 4 + (KILLS % 4 > 1)} of a model"
        f" server, {took:.0f} s; 0 lost, 0 invented, 0 results twice; {caller.repeats} calls repeated,"
        f" {killed_submissions} submissions killed, of which {known_before} lines were known already"
    )
    figure("  results: " + ", ".join(f"{count} {code or status}" for (status, code), count in ends.most_common()))
    figure(
        f"  executions: {extra} whole answers beyond one per message ({extra / answered:.2%}); at the journaling servers"
        f" {sum(1 for moments in whole.values() if len(moments) > 1)} of {len(whole)} messages were answered twice or more,"
        f" {begun} begun for {journaled} whole answers; {statistics.median(in_flight)} ran at one of four when a process died"
    )
    figure(
        f"  recovery after kill -9, from start of the process: ready {statistics.median(ready):.2f} s (max {max(ready):.2f}),"
        f" first dispatch {statistics.median(dispatch):.2f} s (max {max(dispatch):.2f}) of {len(dispatch)}"
    )
    assert len(dispatch) >= KILLS * 0.8
    assert statistics.median(dispatch) < 5
    assert extra < 0.2 * answered


def test_a_submission_that_is_killed_in_the_middle_can_be_repeated(tmp_path):
    queue = tmp_path / "queue.db"
    lines = [json.dumps(batch_line(f"m{number}")) + "\n" for number in range(3000)]
    submitting = subprocess.Popen([str(BINARY), "submit", "-", "--queue", str(queue)], stdin=subprocess.PIPE, text=True)
    submitting.stdin.writelines(lines[:2500])
    submitting.stdin.flush()
    eventually(lambda: queue.exists() and depth(queue)["ready"] > 0, "nothing is stored before the end of the input")
    submitting.kill()
    submitting.wait()
    stored = depth(queue)["ready"]
    assert 0 < stored <= 2500
    said = run("submit", "-", "--queue", queue, input="".join(lines))
    assert f"{3000 - stored} accepted, {stored} already known" in said
    assert depth(queue)["ready"] == 3000


def test_what_was_accepted_over_http_survives_kill_9_at_once(processes, tmp_path):
    config = tmp_path / "weir.yaml"
    port = free_port()
    config.write_text(
        CONFIG.format(
            gateway=port, admin=free_port(), queue=tmp_path / "queue.db", endpoints='{url: "http://127.0.0.1:9", engine: none}'
        )
    )
    accepted = set()
    for round in range(5):
        serve = processes(Process, "serve", "--config", config)
        serve.wait_for("ready")
        for number in range(10):
            headers = {"x-weir-mode": "enqueue", "idempotency-key": f"{round}-{number}"}
            status, fields, _ = call("POST", f"http://127.0.0.1:{port}/v1/chat/completions", chat("m"), headers)
            assert status == 202
            accepted.add(fields["x-weir-request-id"])
        serve.kill()
        assert depth(tmp_path / "queue.db")["ready"] + depth(tmp_path / "queue.db")["leased"] == len(accepted) == 10 * (round + 1)
    serve = processes(Process, "serve", "--config", config)
    serve.wait_for("ready")
    for identity in accepted:
        status, _, view = call("GET", f"http://127.0.0.1:{port}/v1/requests/{identity}")
        assert status == 200 and view["status"] in ("queued", "running")
