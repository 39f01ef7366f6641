"""What `make bench` runs. Absolute times depend on the machine: compare the ratios, and only within one run."""

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
LINES, MESSAGES = (10_000, 3_000) if QUICK else (50_000, 10_000)
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
        """Starts `weir serve`; returns the process and its port."""
        port = free_port()
        process = self.start(
            name, WEIR, "serve", "--endpoint", f"http://127.0.0.1:{endpoint}", "--listen", f"127.0.0.1:{port}",
            "--admin-listen", f"127.0.0.1:{free_port()}", *options)
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


def submit(run, count):
    """A queue with so many requests in it, and how long it took to fill."""
    lines, database = run.folder / f"{count}.jsonl", run.folder / f"{count}.db"
    body = {"model": "sim", "max_tokens": 16, "messages": [{"role": "user", "content": "hello " * 40}]}
    with open(lines, "w") as file:
        for number in range(count):
            request = {"custom_id": f"r{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
            file.write(json.dumps(request) + "\n")
    began = time.monotonic()
    subprocess.run([WEIR, "submit", str(lines), "--queue", str(database)], check=True, capture_output=True, timeout=120)
    return database, time.monotonic() - began


def queue(run):
    _, seconds = submit(run, LINES)
    rate = LINES / seconds
    # What a bare loop needs to write the same lines to a file and make each batch of 2,000 durable.
    line = b"x" * ((run.folder / f"{LINES}.jsonl").stat().st_size // LINES)
    began = time.monotonic()
    with open(run.folder / "bare", "wb") as file:
        for _ in range(LINES // 2000):
            file.write(line * 2000)
            file.flush()
            os.fsync(file.fileno())
    bare = LINES / (time.monotonic() - began)
    print(f"  submit, lines/s           {rate:10,.0f}   {rate / bare:.2f} of bare writes and fsyncs ({LINES:,} lines)")

    database, _ = submit(run, MESSAGES)
    upstream = free_port()
    sim = run.start("sim", WEIR, "sim", "--instant", "--port", str(upstream))
    wait_for(lambda: "replica 0" in (run.folder / "sim.log").read_text(), "weir sim did not start")
    began = time.monotonic()
    gateway, _ = run.gateway("serve", upstream, "--queue", str(database))
    with open(run.folder / "results.jsonl", "wb") as results:
        waiting = [WEIR, "results", "--wait", "--queue", str(database)]
        subprocess.run(waiting, check=True, stdout=results, timeout=100)
    seconds = time.monotonic() - began
    with open(run.folder / "results.jsonl", "rb") as results:
        done = sum(1 for _ in results)
    if done != MESSAGES:
        raise Skipped(f"{done} results of {MESSAGES} messages")
    ours, simulated = sum(cpu(gateway.pid)), sum(cpu(sim.pid))
    print(
        f"  end to end, messages/s    {MESSAGES / seconds:10,.0f}   {MESSAGES / seconds / rate:.2f} of submitting"
        f" ({MESSAGES:,} messages; serve used {ours / seconds / 1e6:.2f} cores)")
    print(
        f"  CPU of serve, µs/message  {ours / MESSAGES:10,.1f}   {ours / simulated:.2f} of the instant model server's")


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
