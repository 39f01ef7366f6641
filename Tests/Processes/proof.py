"""What the kill -9 tests of all queues have in common: model servers with journals, and what the journals prove."""

import collections
import contextlib
import pathlib
import sys
import threading

import model_server
from weir_processes import Process


class JournalingServer(Process):
    """A model server in a process of its own that fails in every way, now and then, and leaves a journal."""

    command = (sys.executable, str(pathlib.Path(model_server.__file__)))


class Journals:
    """What the journals say, read on as they grow."""

    def __init__(self, paths):
        self.paths = paths
        self.offsets = [0] * len(paths)
        self.events = []
        self.first_only = []
        self._reading = threading.Lock()

    def read(self):
        with self._reading:
            return self._read()

    def _read(self):
        for index, path in enumerate(self.paths):
            with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
                file.seek(self.offsets[index])
                text = file.read()
                whole = text[: text.rfind(b"\n") + 1]
                self.offsets[index] += len(whole)
                for entry in whole.decode().splitlines():
                    at, what, name, detail = entry.split("\t")
                    event = model_server.Event(float(at), what, name, detail)
                    self.events.append(event)
                    if index == 0:
                        self.first_only.append(event)
        return self.events

    def begun_since(self, count):
        return sum(1 for event in self.read()[count:] if event.what == "begin")


def whole_answers(events):
    """The moments at which a request of each name was answered whole and well."""
    whole = collections.defaultdict(list)
    for event in sorted(events, key=lambda event: event.at):
        if event.what == "end" and event.detail == "200":
            whole[event.name].append(event.at)
    return whole


def unexplained_repeats(whole, deaths):
    """The names of what was answered whole and ran again although no process had died at the first answer or later."""
    return [
        name for name, moments in whole.items() for first, second in zip(moments, moments[1:])
        if not any(first - 1 < death < second for death in deaths)
    ]


def running_at(deaths, events):
    """How many requests the server of these events had under way at each death."""
    counts = []
    running = collections.Counter()
    for event in events:
        while len(counts) < len(deaths) and event.at > deaths[len(counts)]:
            counts.append(len(+running))
        running[event.name] += 1 if event.what == "begin" else -1
    return counts


def taken_over(deaths, events):
    """Seconds from a death to the next start of each request that it interrupted."""
    events = sorted(events, key=lambda event: event.at)
    waits = []
    interrupted = {}
    running = {}
    pending = list(deaths)
    for event in events:
        while pending and event.at > pending[0]:
            death = pending.pop(0)
            interrupted.update((name, death) for name, count in running.items() if count > 0 and name not in interrupted)
        if event.what == "begin" and event.name in interrupted:
            waits.append(event.at - interrupted.pop(event.name))
        elif event.what == "end":
            interrupted.pop(event.name, None)
        running[event.name] = running.get(event.name, 0) + (1 if event.what == "begin" else -1)
    return waits
