"""What `Scripts/bench-feed` runs: how much batch work a processor in another process gets done through the capacity feed, beside the
same processor in the gateway's own process. Both see the same simulated engines and the same bursty real-time load, in turn.
"""

import contextlib
import json
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "Tests/Processes"))

from servers import RedisServer
from sorted_set import Queue, connect, message
from weir_processes import Gateway, Processor, Simulator, processor_config, redis_queue

ROUNDS, WARM_UP_S, WINDOW_S = (1, 3, 10) if "--quick" in sys.argv else (3, 5, 20)
USERS, BURST, PAUSE_S = 16, 3, 0.5


class Load:
    """Users who all ask at once, a few times, and then think."""

    def __init__(self, url):
        self.url = url + "/v1/chat/completions"
        self.stopped = threading.Event()
        self.latencies = []
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(USERS)]

    def run(self):
        body = json.dumps({"model": "sim", "max_tokens": 32, "messages": [{"role": "user", "content": "now"}]}).encode()
        while not self.stopped.is_set():
            for _ in range(BURST):
                begun = time.monotonic()
                request = urllib.request.Request(self.url, body, {"content-type": "application/json"})
                urllib.request.urlopen(request, timeout=60).read()
                self.latencies.append(time.monotonic() - begun)
            self.stopped.wait(PAUSE_S)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.threads:
            thread.join()


def rate(redis, gateway_url):
    """Batch answers per second while the queue never runs dry, and the median latency of the real-time requests."""
    client = connect(redis.url)
    client.flushall()
    queue = Queue(client)
    payload = {"model": "sim", "max_tokens": 64, "messages": [{"role": "user", "content": "batch " * 50}]}
    for start in range(0, 20_000, 500):
        queue.submit([message(f"b{start + number}", window=3600, payload=payload) for number in range(500)])
    with Load(gateway_url) as load:
        time.sleep(WARM_UP_S)
        load.latencies.clear()
        before, begun = client.llen("result-list"), time.monotonic()
        time.sleep(WINDOW_S)
        done = (client.llen("result-list") - before) / (time.monotonic() - begun)
        latencies = sorted(load.latencies)
    return done, latencies[len(latencies) // 2]


@contextlib.contextmanager
def running(process):
    """Stops the process at the end."""
    try:
        yield process
    finally:
        process.stop()


def main():
    with (
        tempfile.TemporaryDirectory() as folder,
        running(RedisServer(Path(folder) / "redis")) as redis,
        running(Simulator(2)) as engines,
    ):
        queues = [{**redis_queue(redis), "path": "/v1/chat/completions"}]
        pools = [{"name": "default", "endpoints": [{"url": url} for url in engines.urls]}]
        inside, outside = [], []
        for number in range(ROUNDS):
            config = processor_config(folder, queues, pools=pools, name=f"inside-{number}", drain="1s")
            with running(Gateway(config=config)) as gateway:
                inside.append(rate(redis, gateway.url))
            with running(Gateway(engines.urls, folder)) as gateway:
                target = {"url": gateway.url, "objective": "batch"}
                config = processor_config(folder, queues, target=target, name=f"outside-{number}", drain="1s")
                with running(Processor(config)):
                    outside.append(rate(redis, gateway.url))
        mean = lambda figures: sum(figures) / len(figures)
        own, remote = mean([figure for figure, _ in inside]), mean([figure for figure, _ in outside])
        for name, figures in (("in the gateway's process", inside), ("through the capacity feed", outside)):
            answers, latency = mean([figure for figure, _ in figures]), mean([median for _, median in figures])
            print(f"{name:28} {answers:7.1f} batch answers/s, real-time p50 {latency * 1000:.0f} ms")
        print(f"ratio {remote / own:.3f}; by round: {', '.join(f'{o[0] / i[0]:.3f}' for i, o in zip(inside, outside))}")


main()
