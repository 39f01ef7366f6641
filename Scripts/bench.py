"""What `make bench` runs. Absolute times depend on the machine: compare the ratios, and only within one run."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

WEIR = os.path.abspath(sys.argv[1])
QUICK = "--quick" in sys.argv
ROUNDS, SECONDS = (3, 2) if QUICK else (5, 5)
LINES, MESSAGES, SINGLES = (20_000, 5_000, 100) if QUICK else (100_000, 20_000, 500)
# 1,000 bytes: 250 tokens, as Weir and `weir sim` count them.
PROMPT = "word " * 200
MODEL_SERVER = Path(__file__).resolve().parents[1] / "Tests/Processes/model_server.py"
STREAM_TOKENS = 64
CONNECTIONS = 32
TICK_MICROSECONDS = 1_000_000 / os.sysconf("SC_CLK_TCK")
HOW_TO_GET_TOOLS = "apt-get install nginx-light wrk"

ANSWER = (
    '{"id":"c1","object":"chat.completion","created":1,"choices":[{"index":0,"message":'
    '{"role":"assistant","content":"Hi"}}],"usage":{"prompt_tokens":5,"total_tokens":6}}'
)
MODELS = '{"object":"list","data":[{"id":"sim","object":"model","created":1,"owned_by":"bench"}]}'
NGINX = """
daemon off; worker_processes 1; pid %(folder)s/nginx.pid; error_log %(folder)s/nginx.err crit;
events { worker_connections 2048; }
http {
  access_log off; keepalive_requests 1000000000;
  client_body_temp_path %(folder)s/nb; proxy_temp_path %(folder)s/np; fastcgi_temp_path %(folder)s/nf;
  uwsgi_temp_path %(folder)s/nu; scgi_temp_path %(folder)s/ns;
  %(servers)s
}
"""
UPSTREAM = """
  server { listen 127.0.0.1:%(port)d;
    location = /health { return 200 ''; }
    location = /v1/models { default_type application/json; return 200 '%(models)s'; }
    location = /metrics { return 404; }
    location / { default_type application/json; return 200 '%(answer)s'; } }
"""
PROXY = """
  upstream u { server 127.0.0.1:%(upstream)d; keepalive 256; keepalive_requests 1000000000; }
  server { listen 127.0.0.1:%(port)d;
    location / { proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering %(buffering)s;
                 proxy_pass http://u; } }
"""


class Skipped(Exception):
    """A part cannot be measured; says why."""


class Processes:
    """The processes of this run; all of them end with it."""

    def __init__(self, folder):
        self.folder = folder
        self.started = []

    def start(self, name, *command):
        log = open(self.folder / f"{name}.log", "wb")
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, start_new_session=True)
        self.started.append(process)
        return process

    def stop(self, *processes):
        for process in processes or self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in processes or self.started:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def nginx(self, name, servers):
        """Starts nginx; returns the process and its one worker's id."""
        folder = self.folder / name
        folder.mkdir()
        (folder / "nginx.conf").write_text(NGINX % {"folder": folder, "servers": servers})
        process = self.start(name, "nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "nginx.err"))
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        worker = wait_for(lambda: children.read_text().split(), f"nginx did not start, see {folder}/nginx.err")
        return process, int(worker[0])

    def gateway(self, name, endpoint, *options):
        """Starts `weir serve`; returns the process, which knows its admin port, and its port."""
        port, admin = free_port(), free_port()
        process = self.start(
            name, WEIR, "serve", "--endpoint", f"http://127.0.0.1:{endpoint}", "--listen", f"127.0.0.1:{port}",
            "--admin-listen", f"127.0.0.1:{admin}", *options)
        process.admin = admin
        log = self.folder / f"{name}.log"
        wait_for(lambda: "\nready" in log.read_text(), f"weir serve did not become ready: {log}")
        return process, port


def wait_for(condition, complaint, seconds=15):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if value := condition():
                return value
        except OSError:
            pass
        time.sleep(0.05)
    raise Skipped(complaint)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def cpu(pid):
    """User and system time of a process so far, in microseconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) * TICK_MICROSECONDS, int(fields[12]) * TICK_MICROSECONDS


def counts_instructions():
    if not shutil.which("perf"):
        return False
    probe = subprocess.run(["perf", "stat", "-x,", "-e", "instructions", "true"], capture_output=True, text=True)
    return probe.returncode == 0 and "<not supported>" not in probe.stderr


class Load:
    """One wrk run against a port, and what it cost a process."""

    def __init__(self, folder, port, pid, script, with_instructions):
        target = f"http://127.0.0.1:{port}/v1/chat/completions"
        wrk = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "-s", str(script), target]
        if with_instructions:
            wrk = ["perf", "stat", "-x,", "-e", "instructions", "-p", str(pid), "-o", str(folder / "perf"), "--"] + wrk
        before = cpu(pid)
        output = subprocess.run(wrk, capture_output=True, text=True, timeout=SECONDS + 30).stdout
        after = cpu(pid)
        found = re.search(r"(\d+) requests in", output)
        if not found or int(found[1]) == 0 or "Non-2xx" in output:
            raise Skipped(f"the load did not get its answers: {output.strip() or 'wrk said nothing'}")
        self.requests = int(found[1])
        self.user = (after[0] - before[0]) / self.requests
        self.system = (after[1] - before[1]) / self.requests
        self.instructions = None
        if with_instructions and (count := re.search(r"^(\d+),", (folder / "perf").read_text(), re.MULTILINE)):
            self.instructions = int(count[1]) / self.requests


def script(folder, name, body):
    path = folder / name
    path.write_text(
        'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'
        f"wrk.body = [==[{json.dumps(body)}]==]\n")
    return path


def compare(folder, weir, nginx, script, per, unit, with_instructions):
    """Loads both in turn and prints medians per `unit`, of which a request has `per`."""
    rounds = []
    for port, pid in (weir, nginx):
        Load(folder, port, pid, script, False)
    for _ in range(ROUNDS):
        rounds.append([Load(folder, port, pid, script, with_instructions) for port, pid in (weir, nginx)])
    ours, theirs = zip(*rounds)

    def row(name, value, digits=1):
        left, right = (statistics.median(value(load) / per for load in side) for side in (ours, theirs))
        ratios = sorted(value(a) / value(b) for a, b in rounds if value(b) > 0)
        middle = f"{statistics.median(ratios):6.2f}  ({ratios[0]:.2f} to {ratios[-1]:.2f})" if ratios else "     -"
        print(f"  {name:24}{left:12,.{digits}f}{right:12,.{digits}f}   {middle}")

    print(f"  per {unit:20}{'weir':>12}{'nginx':>12}    ratio  (of {ROUNDS} rounds)")
    row("CPU, user, µs", lambda load: load.user)
    row("CPU, system, µs", lambda load: load.system)
    row("CPU, µs", lambda load: load.user + load.system)
    if all(load.instructions for pair in rounds for load in pair):
        row("instructions", lambda load: load.instructions, 0)


def need_tools():
    missing = [tool for tool in ("nginx", "wrk") if not shutil.which(tool)]
    if missing:
        raise Skipped(f"{' and '.join(missing)} not found; get it with: {HOW_TO_GET_TOOLS}")


def proxied_requests(run):
    need_tools()
    upstream, port = free_port(), free_port()
    run.nginx("upstream", UPSTREAM % {"port": upstream, "models": MODELS, "answer": ANSWER})
    _, worker = run.nginx("proxy", PROXY % {"upstream": upstream, "port": port, "buffering": "on"})
    gateway, gateway_port = run.gateway("gateway", upstream, "--queue", "none")
    body = {"model": "sim", "messages": [{"role": "user", "content": "hello " * 164}]}
    has_instructions = counts_instructions()
    if not has_instructions:
        print("  (perf cannot count instructions here: CPU time only)")
    compare(
        run.folder, (gateway_port, gateway.pid), (port, worker), script(run.folder, "chat.lua", body), 1, "request",
        has_instructions)


def streams(run):
    need_tools()
    upstream, port = free_port(), free_port()
    run.start("sim", WEIR, "sim", "--port", str(upstream), "--speedup", "10")
    _, worker = run.nginx("proxy", PROXY % {"upstream": upstream, "port": port, "buffering": "off"})
    log = run.folder / "sim.log"
    wait_for(lambda: "replica 0" in log.read_text(), "weir sim did not start")
    gateway, gateway_port = run.gateway("gateway", upstream, "--queue", "none")
    body = {
        "model": "sim", "stream": True, "max_tokens": STREAM_TOKENS, "ignore_eos": True,
        "messages": [{"role": "user", "content": "hello " * 40}]}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        events = answer.read().count(b"data: ")
    print(f"  ({CONNECTIONS} streams of {events} events each, sent one by one)")
    compare(
        run.folder, (gateway_port, gateway.pid), (port, worker), script(run.folder, "stream.lua", body), events,
        "event", False)


def lines(path, count, prefix="r"):
    """Writes so many requests to a file."""
    body = {"model": "sim", "max_tokens": 16, "ignore_eos": True, "messages": [{"role": "user", "content": PROMPT}]}
    with open(path, "w") as file:
        for number in range(count):
            request = {"custom_id": f"{prefix}{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
            file.write(json.dumps(request) + "\n")
    return path


def submit(path, database):
    """How long it takes to put the requests of a file into a queue."""
    began = time.monotonic()
    subprocess.run([WEIR, "submit", str(path), "--queue", str(database)], check=True, capture_output=True, timeout=120)
    return time.monotonic() - began


def results(database):
    """The results in a queue, once there are no more to come."""
    command = [WEIR, "results", "--wait", "--queue", str(database)]
    output = subprocess.run(command, check=True, capture_output=True, timeout=120).stdout
    return [json.loads(line) for line in output.splitlines()]


def metric(port, name):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
        rows = [line.split() for line in page.read().decode().splitlines() if line.startswith(name)]
    return sum(float(row[-1]) for row in rows)


def bulk(run):
    """Fills a queue from one file, beside a bare loop that makes the same bytes durable; returns the rate."""
    path = lines(run.folder / "bulk.jsonl", LINES)
    rate = LINES / submit(path, run.folder / "bulk.db")
    line = b"x" * (path.stat().st_size // LINES)
    began = time.monotonic()
    with open(run.folder / "bare", "wb") as file:
        for _ in range(LINES // 2000):
            file.write(line * 2000)
            file.flush()
            os.fsync(file.fileno())
    bare = LINES / (time.monotonic() - began)
    print(
        f"  bulk submit, lines/s      {rate:10,.0f}   {rate / bare:.2f} of bare writes with an fsync per 2,000"
        f" ({LINES:,} lines of {len(line)} bytes)")
    return rate


def drain(run, rate):
    """Has `weir serve` work off a full queue against a model server that takes no time."""
    database = run.folder / "drain.db"
    submit(lines(run.folder / "drain.jsonl", MESSAGES), database)
    upstream = free_port()
    sim = run.start("sim", WEIR, "sim", "--instant", "--port", str(upstream))
    wait_for(lambda: "replica 0" in (run.folder / "sim.log").read_text(), "weir sim did not start")
    idle, _ = run.gateway("idle", upstream, "--queue", str(run.folder / "empty.db"))
    to_start = sum(cpu(idle.pid))
    run.stop(idle)
    simulated = sum(cpu(sim.pid))
    gateway, _ = run.gateway("drain", upstream, "--queue", str(database))
    wait_for(lambda: metric(gateway.admin, "weir_async_results_total") >= MESSAGES, "the queue was not worked off", 100)
    ours, simulated = sum(cpu(gateway.pid)) - to_start, sum(cpu(sim.pid)) - simulated
    done = results(database)
    if len(done) != MESSAGES or any(result.get("status_code") != 200 for result in done):
        raise Skipped(f"{len(done)} results of {MESSAGES} messages, or not all of them good")
    seconds = max(result["finished"] for result in done) - min(result["first_dispatched"] for result in done)
    print(
        f"  end to end, messages/s    {MESSAGES / seconds:10,.0f}   {MESSAGES / seconds / rate:.2f} of bulk submit"
        f" ({MESSAGES:,} messages of 250 + 16 tokens; serve used {ours / seconds / 1e6:.2f} cores)")
    print(
        f"  CPU of serve, µs/message  {ours / MESSAGES:10,.1f}   {ours / simulated:.2f} of the instant model server's")


def pick_up(run):
    """The time from a submission to its arrival at an idle model server, beside that of a real-time request."""
    upstream, journal, database = free_port(), run.folder / "journal", run.folder / "single.db"
    run.start(
        "server", sys.executable, str(MODEL_SERVER), "--port", str(upstream), "--journal", str(journal), "--delay", "0",
        "--sound")
    wait_for(lambda: "ready" in (run.folder / "server.log").read_text(), "the model server did not start")
    _, port = run.gateway("single", upstream, "--queue", str(database))
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    sent = {}
    for number in range(SINGLES):
        for kind, headers in (("direct", {}), ("queued", {"x-weir-mode": "enqueue"})):
            name = f"{kind}-{number}"
            messages = [{"role": "user", "content": f"[[{name}]] {PROMPT}"}]
            body = json.dumps({"model": "sim", "max_tokens": 16, "messages": messages})
            time.sleep(0.01)
            sent[name] = time.monotonic()
            client.request("POST", "/v1/chat/completions", body, {"content-type": "application/json", **headers})
            with client.getresponse() as answer:
                answer.read()
                if answer.status not in (200, 202):
                    raise Skipped(f"a single request was answered {answer.status}")
    others = max(20, SINGLES // 10)
    for number in range(others):
        name = f"other-{number}"
        payload = {"model": "sim", "max_tokens": 16, "messages": [{"role": "user", "content": f"[[{name}]] {PROMPT}"}]}
        command = [WEIR, "submit", "-", "--queue", str(database)]
        line = json.dumps({"id": name, "payload": payload}) + "\n"
        subprocess.run(command, input=line, text=True, check=True, capture_output=True, timeout=20)
    calendar = time.time() - time.monotonic()
    enqueued = {result["id"]: result["enqueued"] - calendar for result in results(database)}
    took = {"direct": [], "queued": [], "other": []}
    for entry in journal.read_text().splitlines():
        at, what, name, _ = entry.split("\t")
        if what == "begin":
            took[name.partition("-")[0]].append(float(at) - (sent.get(name) or enqueued[name]))
    with open(run.folder / "flushed", "wb") as file:
        flushes = []
        for _ in range(50):
            file.write(PROMPT.encode())
            file.flush()
            began = time.monotonic()
            os.fsync(file.fileno())
            flushes.append(time.monotonic() - began)

    print(
        f"  arrival after submission, ms     p50       p99   ({SINGLES} one by one on an idle pool; an fsync takes"
        f" {statistics.median(flushes) * 1000:.2f})")
    usual = statistics.median(took["direct"])
    for name, kind in (("real-time", "direct"), ("enqueue over HTTP", "queued"), ("weir submit, once taken", "other")):
        values = sorted(took[kind])
        middle, high = statistics.median(values), values[int(len(values) * 0.99)]
        ratio = "" if kind == "direct" else f"   {middle / usual:.1f} of real-time's"
        print(f"    {name:24}{middle * 1000:10.2f}{high * 1000:10.2f}{ratio}")


def queue(run):
    drain(run, bulk(run))
    pick_up(run)


def lab(run):
    began = time.monotonic()
    command = [WEIR, "lab", "run", "colocate", "--policy", "weir", "--json"]
    report = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=100).stdout)
    seconds = time.monotonic() - began
    virtual = report["virtual_s"]
    print(
        f"  lab run colocate, s       {seconds:10.2f}   {virtual / seconds:,.0f} times faster than"
        f" the {virtual:,.0f} s it plays")


def main():
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; loopback; wrk -t1 -c{CONNECTIONS} -d{SECONDS}s")
    parts = [
        ("Proxied chat request of 1 KB, answer of %d bytes" % len(ANSWER), proxied_requests),
        ("Streamed events", streams), ("Queue", queue), ("Lab", lab)]
    failed = False
    for title, part in parts:
        print(f"\n{title}", flush=True)
        with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder:
            run = Processes(Path(folder))
            try:
                part(run)
            except Skipped as reason:
                print(f"  skipped: {reason}")
            except (subprocess.SubprocessError, OSError) as error:
                failed = True
                print(f"  failed: {error}")
            finally:
                run.stop()
    sys.exit(1 if failed else 0)


signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
main()
