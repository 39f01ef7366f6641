"""What is looked at during a soak: the gateway's process, its metrics, and those of the model servers at the same moment."""

import asyncio
import collections
import math
import pathlib
import re
import statistics
import time

from soak_client import fetch

SERIES = re.compile(r"([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
BLOCKS = 20
# Student's t for 95 % and BLOCKS - 2 degrees of freedom.
T_95 = 2.101
# A look that took longer than this, because the machine had no time for it, shows no single moment.
LONGEST_LOOK_S = 0.25


class Page:
    """A page of metrics."""

    def __init__(self, text):
        self.series = collections.defaultdict(list)
        for line in text.splitlines():
            if found := SERIES.match(line):
                self.series[found[1]].append((dict(LABEL.findall(found[2] or "")), float(found[3])))

    def by(self, name, *labels, **match):
        """Sums by the values of some labels (one: by itself), of the series that match."""
        sums = collections.Counter()
        for own, value in self.series[name]:
            if all(own.get(key) == wanted for key, wanted in match.items()):
                key = tuple(own[label] for label in labels)
                sums[key[0] if len(key) == 1 else key] += value
        return sums

    def sum(self, name, **match):
        return sum(self.by(name, **match).values())


def sockets(pid):
    """The inodes of a process's sockets, and how many other descriptors it has."""
    inodes, others = set(), 0
    for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = entry.readlink().as_posix()
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
        else:
            others += 1
    return inodes, others


def descriptors(pid, ports):
    """Open descriptors of a process by kind; `ports` maps the model servers' ports."""
    inodes, others = sockets(pid)
    kinds = collections.Counter(files=others)
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in pathlib.Path(table).read_text().splitlines()[1:]:
            columns = line.split()
            if columns[9] not in inodes:
                continue
            inodes.discard(columns[9])
            if columns[3] == "0A":
                kinds["listeners"] += 1
            elif int(columns[2].rsplit(":", 1)[1], 16) in ports:
                kinds["to model servers"] += 1
            else:
                kinds["to clients"] += 1
    kinds["other sockets"] += len(inodes)
    return kinds


def process(pid):
    """Resident bytes, descriptors and threads."""
    fields = dict(
        line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    return {
        "rss": int(fields["VmRSS"].split()[0]) * 1024, "anonymous": int(fields["RssAnon"].split()[0]) * 1024, "threads": int(fields["Threads"]),
        "fds": sum(1 for _ in pathlib.Path(f"/proc/{pid}/fd").iterdir()),
    }


def trend(times, values):
    """The slope per second of the means of BLOCKS stretches, and half the width of its 95 % interval.

    Samples close to one another are alike; means of stretches are nearly independent.
    """
    size = len(values) // BLOCKS
    if size < 2:
        return math.nan, math.nan
    blocks = [slice(number * size, (number + 1) * size) for number in range(BLOCKS)]
    x = [statistics.fmean(times[block]) for block in blocks]
    y = [statistics.fmean(values[block]) for block in blocks]
    middle = statistics.fmean(x)
    spread = sum((at - middle) ** 2 for at in x)
    slope, start = statistics.linear_regression(x, y)
    rest = sum((value - start - slope * at) ** 2 for at, value in zip(x, y))
    return slope, T_95 * math.sqrt(rest / (BLOCKS - 2) / spread)


class Watch:
    """Samples at fixed times until it is told to stop."""

    def __init__(self, gateway, engines, interval):
        self.gateway, self.engines, self.interval = gateway, engines, interval
        self.samples = []
        self.begun = time.monotonic()

    async def run(self, stopped):
        due = time.monotonic()
        while not stopped.is_set():
            await self.sample()
            due = max(due + self.interval, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    async def sample(self):
        """The model servers are read before and after the gateway: their mean is of the same moment."""
        begun = [(engine, engine.process) for engine in self.engines]
        started = time.monotonic()
        before = await asyncio.gather(*(engine.load() for engine in self.engines))
        text = await fetch(self.gateway.admin + "/metrics")
        at = time.monotonic() - self.begun
        after = await asyncio.gather(*(engine.load() for engine in self.engines))
        if text is None:
            return
        is_moment = time.monotonic() - started <= LONGEST_LOOK_S
        own = Page(text).by("weir_requests_in_flight", "endpoint")
        differences = []
        for (engine, was), first, second in zip(begun, before, after):
            if None not in (first, second) and engine.process is was:
                differences.append((own[engine.name] - (first + second) / 2, (first + second) / 2))
        is_moment = is_moment and len(differences) == len(begun)
        self.samples.append({
            "at": at, **process(self.gateway.pid), "own": sum(own.values()),
            "difference": sum(difference for difference, _ in differences) if is_moment else None,
            "truth": sum(truth for _, truth in differences) if is_moment else None,
        })

    def column(self, name, first=0.0):
        """Times and values from a share of the run on."""
        kept = self.samples[int(len(self.samples) * first) :]
        kept = [sample for sample in kept if sample[name] is not None]
        return [sample["at"] for sample in kept], [sample[name] for sample in kept]


class Engine:
    """One simulated model server under an address of its own, through all its lives."""

    def __init__(self, start, port):
        self.start, self.port = start, port
        self.name = f"127.0.0.1:{port}"
        self.url = f"http://{self.name}"
        self.past = collections.Counter()
        # When it was last asked and when it was dead, for each time.
        self.deaths = []
        self.process = start(port)

    async def page(self):
        text = await fetch(self.url + "/metrics")
        return None if text is None else Page(text)

    async def load(self):
        """Requests that run or wait; None while nobody answers."""
        page = await self.page()
        return None if page is None else page.sum("vllm:num_requests_running") + page.sum("vllm:num_requests_waiting")

    async def counts(self):
        """What it has done in all its lives, and what runs and waits now; it has to be alive."""
        while (page := await self.page()) is None:
            await asyncio.sleep(0.1)
        reasons = page.by("vllm:request_success_total", "finished_reason")
        now = collections.Counter(
            finished=reasons["stop"] + reasons["length"], aborted=reasons["abort"],
            running=page.sum("vllm:num_requests_running"), waiting=page.sum("vllm:num_requests_waiting"),
            prompt=page.sum("vllm:prompt_tokens_total"), generated=page.sum("vllm:generation_tokens_total"))
        return now + self.past

    async def die(self):
        """Ends without notice. What ran then was counted nowhere."""
        asked = time.time()
        last = await self.counts()
        self.process.kill()
        del last["running"], last["waiting"]
        self.past = last
        self.deaths.append((asked, time.time()))

    def revive(self):
        self.process = self.start(self.port)
