"""Real model servers on this machine's processors, and how their own counters are read."""

import json
import os
import pathlib
import sys

from weir_processes import Process, eventually, free_port, get, metric

MODEL = "small"
START_TIMEOUT_S = 300
ENVIRONMENT = {
    # Nothing is fetched, nothing is reported.
    "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1",
    # One thread for each engine, that sleeps when it has nothing to do: spinning ones starve the other engine.
    "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_CPU_KVCACHE_SPACE": "1",
}


class Engine(Process):
    """One `vllm serve`. It publishes its KV events, and its answers tell how much of a prompt was cached."""

    command = (str(pathlib.Path(sys.executable).parent / "vllm"), "serve")
    block_tokens = 32
    cache_blocks = 384

    def __init__(self, model):
        self.port, self.events_port, self.replay_port = free_port(), free_port(), free_port()
        events = {
            "enable_kv_cache_events": True, "publisher": "zmq", "topic": f"kv@127.0.0.1:{self.port}@{MODEL}",
            "endpoint": f"tcp://*:{self.events_port}", "replay_endpoint": f"tcp://*:{self.replay_port}",
        }
        super().__init__(
            model, "--load-format", "dummy", "--host", "127.0.0.1", "--port", self.port, "--served-model-name", MODEL,
            "--enforce-eager", "--block-size", self.block_tokens, "--num-gpu-blocks-override", self.cache_blocks,
            "--max-num-seqs", 32, "--max-num-batched-tokens", 2048, "--enable-prompt-tokens-details",
            "--kv-events-config", json.dumps(events), env=ENVIRONMENT,
        )
        self.url = f"http://127.0.0.1:{self.port}"
        self.name = f"127.0.0.1:{self.port}"

    def wait_until_ready(self):
        self.wait_for("Application startup complete", START_TIMEOUT_S)
        eventually(self._answers, f"{self.name} answers")

    def _answers(self):
        try:
            get(self.url + "/health")
        except OSError:
            return False
        return True

    def metric(self, name):
        return metric(self.url + "/metrics", "vllm:" + name)

    @property
    def running(self):
        return self.metric("num_requests_running")

    def kill(self):
        """The server ends its helpers by itself if it is asked."""
        try:
            self.stop()
        except AssertionError:
            os.killpg(self.pid, 9)


def wait_until_idle(engines, timeout=60):
    eventually(
        lambda: not any(engine.running + engine.metric("num_requests_waiting") for engine in engines),
        "the engines are idle", timeout)
