"""What `Scripts/soak` runs: the gateway, its queue and model servers as real processes under hours of mixed traffic.

Afterwards three ledgers have to agree: what clients saw, what Weir logged and counted, what the model servers counted. Memory and
descriptors have to be where they were, and Weir's own view of its load must not have drifted from that of the model servers.
"""

import argparse
import asyncio
import collections
import json
import pathlib
import signal
import statistics
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "Tests/Processes"))

import soak_accounts as accounts
from soak_client import fetch
from soak_traffic import Traffic
from soak_watch import Engine, Page, Watch, descriptors, trend
from weir_processes import BINARY, Gateway, Process, free_port, results

CHAPTERS = 4
QUIET_S = 60
# Connections to model servers are kept for 4 s after their last answer.
IDLE_S = 6
# By how much of its resident memory the process may grow in the last third over the one before. What is bounded (prefix index,
# receipts, statistics, caches of the queue's file) is full by then; allocators breathe by one or two percent.
GROWTH_LIMIT = 0.03
# By how many requests the view of the load may drift over the whole run.
DRIFT_LIMIT = 0.5


def options():
    parser = argparse.ArgumentParser(prog="Scripts/soak", description=__doc__)
    parser.add_argument("--hours", type=float, default=2.0, help="virtual hours, as the engines count them (2)")
    parser.add_argument("--minutes", type=float, help="real minutes instead")
    parser.add_argument("--speedup", type=float, default=20.0, help="how much faster than real time the engines run (20)")
    parser.add_argument("--rate", type=float, default=60.0, help="requests per real second, bursts not counted (60)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes; says nothing of memory")
    parser.add_argument("--json", type=pathlib.Path, help="writes checks and samples to a file")
    parser.add_argument("--keep", type=pathlib.Path, help="a folder for configuration, logs and queue; kept")
    return parser.parse_args()


def configuration(folder, machines, speedup):
    """Limits shrink with the speedup, so that the pools are as near to them as at real speed."""
    main, side = machines[:3], machines[3:]
    common = {
        "engine": {"preset": "llama-70b-h100x4"},
        "slo": {"ttft": f"{max(1, round(2000 / speedup))}ms", "tpot": f"{max(1, round(80 / speedup))}ms"},
        "scrape": {"interval": "200ms"},
        # Small enough to be full long before the end: what is bounded must be seen at its bound.
        "routing": {"prefix": {"maxEntries": 4096}},
        "admission": {"maxConcurrentRequestsPerEndpoint": 24, "queue": {"maxRequests": 150, "ttl": "2s"}},
    }
    return {
        "gateway": {
            "listen": "127.0.0.1:0", "accessLog": f"{folder}/access.log",
            "limits": {"firstByteTimeout": "10s", "keepAliveIdle": "10s"},
            "rewrites": [{"model": "alias", "targets": [{"model": "sim", "weight": 80}, {"model": "side", "weight": 20}]}],
        },
        "admin": {"listen": "127.0.0.1:0"},
        "pools": [
            {"name": "main", "models": ["sim"], "endpoints": [{"url": machine.url} for machine in main], **common},
            {"name": "side", "models": ["side"], "endpoints": [{"url": machine.url} for machine in side], **common},
        ],
        "objectives": [
            {"name": "premium", "priority": 5}, {"name": "realtime", "priority": 0}, {"name": "batch", "priority": -1}],
        "async": {
            # Results are read as they come, so that the file, and with it what is cached of it, stops growing.
            "queues": [{"name": "q", "embedded": {"path": f"{folder}/queue.db", "keepResults": "30s"}}],
            "retry": {"base": "50ms", "cap": "1s", "rejectionPause": "50ms", "attemptTimeout": "10s"},
        },
    }


class Soak:
    def __init__(self, settings, folder):
        self.settings, self.folder = settings, folder
        self.seconds = 60 * (settings.minutes or settings.hours * 60 / settings.speedup)
        self.queue = folder / "queue.db"
        self.submitted = set()
        self.checks = accounts.Checks()
        self.load = {}

    def model_server(self, *arguments):
        def start(port):
            process = Process(
                "sim", "--port", port, "--engine", "llama-70b-h100x4", "--max-sequences", 16, "--speedup",
                self.settings.speedup, *arguments)
            process.wait_for("replica 0")
            return process

        return Engine(start, free_port())

    def start(self):
        faults = ["--reject", 5, "--error", 3, "--cut", 5]
        self.machines = []
        for arguments in ([], [], [], ["--model", "side", *faults]):
            self.machines.append(self.model_server(*arguments))
        config = self.folder / "weir.yaml"
        config.write_text(json.dumps(configuration(self.folder, self.machines, self.settings.speedup), indent=1))
        self.gateway = Gateway(config=config)
        self.results = Process("results", "--follow", "--queue", self.queue)
        self.log = accounts.AccessLog(self.folder / "access.log")
        self.traffic = Traffic(self.gateway.url, self.settings.seed, self.settings.rate)
        self.watch = Watch(self.gateway, self.machines, interval=max(0.2, min(2.0, self.seconds / 300)))

    def stop(self):
        for process in [self.results, self.gateway, *(machine.process for machine in self.machines)]:
            process.kill()

    # MARK: Load

    async def submit(self, count):
        """Through the command line, and a part of it twice."""
        lines = self.traffic.lines(len(self.submitted), count)
        again = "".join(line + "\n" for line in lines.splitlines()[::10])
        for text in (lines, again):
            command = await asyncio.create_subprocess_exec(
                BINARY, "submit", "-", "--queue", self.queue, stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
            said, _ = await command.communicate(text.encode())
            if command.returncode != 0:
                raise RuntimeError(f"weir submit: {said.decode()}")
        self.submitted |= {message.get("id") or message["custom_id"] for message in map(json.loads, lines.splitlines())}

    async def messages(self, seconds):
        pushes = 3
        for _ in range(pushes):
            await self.submit(max(20, int(self.settings.rate * seconds / pushes / 4)))
            await asyncio.sleep(seconds / pushes * 0.8)

    async def trouble(self, seconds, chapter):
        """One of the first two model servers dies and comes back."""
        machine = self.machines[chapter % 2]
        await asyncio.sleep(seconds * 0.4)
        await machine.die()
        await asyncio.sleep(min(2.0, seconds * 0.2))
        await asyncio.to_thread(machine.revive)

    # MARK: Course

    async def run(self):
        self.start()
        ports = {machine.port for machine in self.machines}
        base = descriptors(self.gateway.pid, ports)
        stopped = asyncio.Event()
        watching = asyncio.create_task(self.watch.run(stopped))
        for chapter in range(CHAPTERS):
            seconds = self.seconds / CHAPTERS
            await asyncio.gather(
                self.traffic.run(seconds, burst_every=max(2.0, seconds / 6)), self.messages(seconds),
                self.trouble(seconds, chapter))
            await self.rest(chapter)
            self.tell(chapter)
            if chapter == 0:
                # Some of the queue's connections to its file are opened at their first use.
                base["files"] = descriptors(self.gateway.pid, ports)["files"]
        stopped.set()
        await watching
        if not self.settings.quick:
            await asyncio.sleep(IDLE_S)
        self.descriptors = {"before": base, "after": descriptors(self.gateway.pid, ports)}
        self.check()
        code = await asyncio.to_thread(self.gateway.stop)
        self.checks.equal("exit code after SIGTERM", code, 0)

    async def look(self):
        """Everything once."""
        while (text := await fetch(self.gateway.admin + "/metrics")) is None:
            await asyncio.sleep(0.1)
        counts = {machine.name: await machine.counts() for machine in self.machines}
        return Page(text), counts

    async def rest(self, chapter):
        """Waits for the queue to be empty and everything to have come back; then everything must agree."""
        end = time.monotonic() + QUIET_S
        while True:
            async with asyncio.timeout(QUIET_S):
                page, counts = await self.look()
            trial = accounts.Checks()
            accounts.quiet(trial, page, counts, "")
            up = page.sum("weir_endpoint_up")
            told = page.sum("weir_async_results_total") <= len(self.results.lines)
            if (not trial.failed and told and up == len(self.machines)) or time.monotonic() > end:
                break
            await asyncio.sleep(0.2)
        accounts.quiet(self.checks, page, counts, f"rest {chapter + 1}")
        self.checks.equal(f"endpoints up at rest {chapter + 1}", up, len(self.machines))
        self.page, self.counts = page, counts
        self.log.read()

    def tell(self, chapter):
        rss = self.watch.samples[-1]["rss"] / 2**20
        print(
            f"{chapter + 1}/{CHAPTERS}  {len(self.traffic.asked):,} requests, {len(self.submitted):,} messages, "
            f"{rss:.1f} MiB, {len(self.checks.failed)} checks failed", file=sys.stderr, flush=True)

    # MARK: Judgement

    def check(self):
        found = [json.loads(line) for line in self.results.lines]
        log, page, checks = self.log.lines, self.page, self.checks
        known = accounts.requests(checks, self.traffic.asked, log, page)
        accounts.tokens(checks, known, log, found, page)
        accounts.engines(checks, self.traffic.asked, log, self.counts, self.machines)
        accounts.queue(checks, self.submitted, self.traffic.asked, self.traffic.cancelled, found, log, page)
        checks.none("receipts that do not tell the outcome", self.traffic.receipts_missing)
        self.check_descriptors()
        if not self.settings.quick:
            self.check_load()
            self.check_memory()

    def check_load(self):
        times, differences = self.watch.column("difference")
        _, truth = self.watch.column("truth")
        mean = statistics.fmean(differences)
        slope, half = trend(times, differences)
        drift, error = slope * times[-1], half * times[-1]
        self.load = {"mean": mean, "drift": drift, "error": error, "truth": statistics.fmean(truth), "most": max(truth)}
        # A snapshot is at most a few requests off: those on their way in or out. Bursts weigh in with their share.
        bound = 2 + 0.1 * statistics.fmean(truth)
        self.checks.hold(
            "own view of the load less that of the model servers, mean", abs(mean) <= bound,
            f"{mean:+.2f} of {statistics.fmean(truth):.1f} requests, of {max(truth):.0f} at most")
        self.checks.hold(
            "drift of that over the run", abs(drift) - error <= DRIFT_LIMIT, f"{drift:+.2f} ± {error:.2f} requests")

    def check_descriptors(self):
        before, after = self.descriptors["before"], self.descriptors["after"]
        shown = ", ".join(f"{kind} {before[kind]} → {after[kind]}" for kind in sorted({*before, *after}))
        same = all(before[kind] == after[kind] for kind in ("files", "listeners", "other sockets"))
        same = same and after["to clients"] <= before["to clients"]
        if not self.settings.quick:
            # Probes and scrapes may be under way in either look, one to each model server.
            same = same and after["to model servers"] <= before["to model servers"] + len(self.machines)
        self.checks.hold("descriptors of the gateway", same, shown)

    def check_memory(self):
        """Growth of what the process has allocated: pages of the program itself come in as they are first used."""
        times, memory = self.watch.column("anonymous", first=1 / 3)
        half_way = len(memory) // 2
        middle, last = statistics.fmean(memory[:half_way]), statistics.fmean(memory[half_way:])
        resident = self.watch.samples[-1]["rss"]
        share = (last - middle) / resident
        slope, half = trend(times, memory)
        growth = (slope - half) * (times[-1] - times[0])
        self.checks.hold(
            "memory, last third over the middle one", share <= GROWTH_LIMIT,
            f"{middle / 2**20:.1f} → {last / 2**20:.1f} MiB, {share:+.1%} of {resident / 2**20:.1f} resident")
        self.checks.hold(
            "memory, slope over the last two thirds", growth <= GROWTH_LIMIT * resident,
            f"{slope * 3600 / 2**20:+.1f} ± {half * 3600 / 2**20:.1f} MiB per real hour")
        _, threads = self.watch.column("threads", first=1 / 3)
        self.checks.hold("threads", threads[-1] <= max(threads[: len(threads) // 2]) + 1, f"{threads[-1]}")

    def report(self):
        rows = self.checks.rows
        width = max(len(row["check"]) for row in rows)
        for row in rows:
            print(f"{'ok  ' if row['holds'] else 'FAIL'}  {row['check']:<{width}}  {row['value']}")
        outcomes = collections.Counter(
            "left" if one.left else "broke off" if one.cut else str(one.status) for one in self.traffic.asked)
        print(f"\n{len(self.traffic.asked):,} requests: {dict(outcomes.most_common())}; {len(self.submitted):,} messages; "
              f"{self.seconds:.0f} s, {self.seconds * self.settings.speedup / 3600:.2f} h of the engines' time; "
              f"brake {self.page.sum('weir_aborted_total', reason='brake'):.0f}, "
              f"retries {self.page.sum('weir_retries_total'):.0f}")
        print("FAIL" if self.checks.failed else "PASS")
        if self.settings.json:
            self.settings.json.write_text(json.dumps({
                "pass": not self.checks.failed, "seconds": self.seconds, "speedup": self.settings.speedup,
                "requests": len(self.traffic.asked), "messages": len(self.submitted), "outcomes": outcomes,
                "checks": rows, "load": self.load, "descriptors": self.descriptors, "samples": self.watch.samples}))


def main():
    settings = options()
    # Whoever ends this ends all that it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if settings.quick:
        settings.minutes, settings.rate = settings.minutes or 8 / 60, min(settings.rate, 40)
    with tempfile.TemporaryDirectory() as temporary:
        folder = settings.keep or pathlib.Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        soak = Soak(settings, folder.resolve())
        try:
            asyncio.run(soak.run())
        finally:
            soak.stop()
        soak.report()
    sys.exit(1 if soak.checks.failed else 0)


if __name__ == "__main__":
    main()
