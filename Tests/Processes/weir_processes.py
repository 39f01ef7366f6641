"""Starts the real program and waits for what it says, never for time to pass."""

import json
import os
import pathlib
import queue
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("WEIR_BINARY", ROOT / ".build/release/weir")).resolve()
TRACES = ROOT.parent / "shared" / "traces"
START_TIMEOUT_S = 60


class Process:
    """One `weir` process whose standard error is read line by line."""

    command = (str(BINARY),)

    def __init__(self, *arguments, cwd=None, env=None):
        self.lines = []
        self.times = []
        self._fresh = queue.Queue()
        self.process = subprocess.Popen(
            [*self.command, *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            restore_signals=False,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.times.append(time.monotonic())
            self.lines.append(line.rstrip("\n"))
            self._fresh.put(line)
        self._fresh.put(None)

    def wait_for(self, text, timeout=START_TIMEOUT_S):
        """The first line, from now or before, that contains `text`."""
        seen = 0
        while True:
            for line in self.lines[seen:]:
                seen += 1
                if text in line:
                    return line
            try:
                if self._fresh.get(timeout=timeout) is None and seen >= len(self.lines):
                    raise AssertionError(f"ended without saying {text!r}:\n" + "\n".join(self.lines[-40:]))
            except queue.Empty:
                raise AssertionError(f"did not say {text!r} in {timeout} s:\n" + "\n".join(self.lines[-40:])) from None

    def said_at(self, whole_line):
        """When it first said exactly that, in monotonic time; None if it has not."""
        return next((at for at, line in zip(self.times, self.lines) if line == whole_line), None)

    @property
    def pid(self):
        return self.process.pid

    def resident_bytes(self):
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self, timeout=40):
        """SIGTERM and wait; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError("did not stop on SIGTERM:\n" + "\n".join(self.lines[-40:])) from None
        return self.process.returncode


def run(*arguments, cwd=None, input=None, timeout=600, check=True, env=None):
    """Runs a command to its end; its standard output."""
    done = subprocess.run(
        [str(BINARY), *map(str, arguments)], cwd=cwd, input=input, timeout=timeout, capture_output=True, text=True,
        env={**os.environ, **(env or {})},
    )
    if check and done.returncode != 0:
        raise AssertionError(f"weir {' '.join(map(str, arguments))}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done if not check else done.stdout


class Simulator(Process):
    """`weir sim` on free ports."""

    def __init__(self, replicas=1, *arguments, **options):
        super().__init__("sim", "--replicas", replicas, "--port", 0, *arguments, **options)
        self.urls = [self.wait_for(f"replica {index} ").split()[-1] for index in range(replicas)]

    def metric(self, name, replica=0):
        return metric(self.urls[replica] + "/metrics", name)


class Gateway(Process):
    """`weir serve` in front of some endpoints, on free ports."""

    def __init__(self, urls=(), directory=None, config=None, *arguments, **options):
        if config is None:
            where = [part for url in urls for part in ("--endpoint", url)]
            where += ["--queue", str(pathlib.Path(directory or ".") / "queue.db")]
            where += ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]
        else:
            where = ["--config", config]
        super().__init__("serve", *where, *arguments, **options)
        self.url = self.wait_for("gateway  ").split()[-1]
        self.admin = self.wait_for("admin  ").split()[-1]
        self.wait_for("ready")

    @property
    def port(self):
        return int(self.url.rsplit(":", 1)[1])

    def metric(self, name):
        return metric(self.admin + "/metrics", name)


def processor_config(folder, queues, target=None, name="weir", retry=None, drain="30s", pools=None, **settings):
    """A file (JSON is YAML) for an asynchronous processor of some queues, alone or with a gateway of its own."""
    quick = {"base": "50ms", "cap": "1s", "rejectionPause": "50ms", "attemptTimeout": "10s", "breakerCap": "500ms"}
    configuration = {
        "admin": {"listen": "127.0.0.1:0"},
        "gateway": {"listen": "127.0.0.1:0", "drain": {"timeout": drain}},
        "async": {"queues": queues, "retry": {**quick, **(retry or {})}, **settings},
    }
    if target:
        configuration["async"]["target"] = target if isinstance(target, dict) else {"url": target}
    if pools:
        configuration["pools"] = pools
    path = pathlib.Path(folder) / f"{name}.yaml"
    path.write_text(json.dumps(configuration, indent=1))
    return path


def redis_queue(server_or_url, **settings):
    """The queue of the configuration; what is no setting of all queues is one of Redis."""
    url = getattr(server_or_url, "url", server_or_url)
    common = {key: settings.pop(key) for key in ("lease", "labels", "gate", "workerPool", "path") if key in settings}
    return {"name": "q", "lease": "3s", **common, "redis": {"url": url, "queue": "request-sortedset", **settings}}


def pubsub_queue(project, lease="15s", **settings):
    """The same for topics with the usual names."""
    names = {"subscription": "requests", "resultTopic": "results", "deadLetterTopic": "dead-letters"}
    return {
        "name": "q", "lease": lease, "pubsub": {"project": project.name, "ackDeadline": "10s", **names, **settings}}


class Processor(Process):
    """`weir serve` as a configuration says, without a gateway of its own."""

    def __init__(self, config, *arguments, **options):
        super().__init__("serve", "--config", config, *arguments, **options)
        self.admin = self.wait_for("admin  ").split()[-1]
        self.wait_for("ready")

    def metric(self, name):
        return metric(self.admin + "/metrics", name)


def free_port():
    """A port for a process that is to come back under the same address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def depth(queue):
    """How full a queue is, as another process sees it."""
    return json.loads(run("queue", "ls", "--json", "--queue", queue))


def results(queue, *arguments, timeout=300):
    return [json.loads(line) for line in run("results", *arguments, "--queue", queue, timeout=timeout).splitlines()]


def submit(queue, messages, *arguments):
    """Submits messages (as objects); what the command said."""
    return run("submit", "-", "--queue", queue, *arguments, input="".join(json.dumps(message) + "\n" for message in messages))


def get(url, timeout=30):
    with urllib.request.urlopen(url, timeout=timeout) as response:
        return response.read().decode()


def metric(url, name):
    """The sum of all series of a metric on a page."""
    total = 0.0
    found = False
    for line in get(url).splitlines():
        if line.startswith(name) and line[len(name)] in " {":
            total += float(line.rsplit(" ", 1)[1])
            found = True
    if not found:
        raise AssertionError(f"no {name} at {url}")
    return total


def eventually(condition, what, timeout=20):
    """Polls a remote state, which no event of ours announces, until it holds."""
    end = time.monotonic() + timeout
    value = condition()
    while not value and time.monotonic() < end:
        threading.Event().wait(0.05)
        value = condition()
    assert value, what
    return value


def call(method, url, body=None, headers=None, timeout=60):
    """Any request; status, headers and body of the answer, of whatever status, the body read as JSON."""
    request = urllib.request.Request(
        url, data=None if body is None else json.dumps(body).encode(), method=method,
        headers={"content-type": "application/json", **(headers or {})},
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            status, fields, text = response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        with error:
            status, fields, text = error.code, error.headers, error.read()
    return status, fields, json.loads(text) if text else None


def post(url, body, headers=None, timeout=60):
    request = urllib.request.Request(
        url, data=json.dumps(body).encode(), headers={"content-type": "application/json", **(headers or {})}
    )
    return urllib.request.urlopen(request, timeout=timeout)
