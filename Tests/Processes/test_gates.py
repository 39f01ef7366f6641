"""Gates that a real Prometheus feeds: closed they keep everything where it is, open they let it through."""

import http.server
import threading

import pytest

from servers import PrometheusServer
from sorted_set import message
from weir_processes import Processor, eventually, processor_config, redis_queue


class Exposition:
    """A target of Prometheus that shows some gauges, whatever a test says they are."""

    def __init__(self, **series):
        self.series = series
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                lines = [f"# TYPE {name} gauge\n{name}{labels} {value}\n" for name, (labels, value) in outer.series.items()]
                page = "".join(lines).encode()
                self.send_response(200)
                self.send_header("content-type", "text/plain; version=0.0.4")
                self.send_header("content-length", str(len(page)))
                self.end_headers()
                self.wfile.write(page)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def show(self, name, value):
        self.series[name] = (self.series[name][0], value)

    def kill(self):
        self._server.shutdown()
        self._server.server_close()


SATURATION, OLDER_SATURATION = (
    "llm_d_epp_flow_control_pool_saturation", "inference_extension_flow_control_pool_saturation")
# Each gate, the series it asks for, its labels, a value that closes the gate and one that opens it.
CASES = {
    "prometheus-saturation": (
        {"type": "prometheus-saturation", "parameters": {"pool": "newer", "threshold": 0.8}}, SATURATION,
        '{inference_pool="newer"}', 0.95, 0.1),
    "prometheus-saturation, older name": (
        {"type": "prometheus-saturation", "parameters": {"pool": "older", "threshold": 0.8}}, OLDER_SATURATION,
        '{inference_pool="older"}', 0.85, 0.75),
    "prometheus-budget": (
        {"type": "prometheus-budget", "parameters": {"pool": "p", "max_concurrency": 10, "baseline": 0.05}},
        "llm_d_epp_per_endpoint_queue_size", '{name="p"}', 10, 2),
    "prometheus-query": (
        {"type": "prometheus-query", "parameters": {"query": 'room{pool="p"}'}}, "room", '{pool="p"}', 0, 0.7),
}
BUDGET = "llm_d_async_async_dispatch_budget"
VALUE = "llm_d_async_async_gate_metric_value"
AVAILABLE = "llm_d_async_async_gate_metric_source_available"


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A target with every series that these tests need, all of them closed, and a Prometheus that watches it."""
    target = Exposition(**{name: (labels, closed) for _, name, labels, closed, _ in CASES.values()})
    server = PrometheusServer(tmp_path_factory.mktemp("prometheus"), target.address)
    yield target, server
    server.kill()
    target.kill()


@pytest.mark.parametrize("case", CASES)
def test_a_gate_that_prometheus_closes_holds_everything_back_until_it_opens(
    processes, redis_server, queue, servers, watched, tmp_path, case
):
    gate, name, _, closed, opened = CASES[case]
    target, prometheus = watched
    server = servers()
    path = processor_config(
        tmp_path, [redis_queue(redis_server)], server.url, workerPools=[{"name": "default", "workers": 8, "gate": gate}],
        prometheus={"url": prometheus.url, "refresh": "100ms"})
    worker = processes(Processor, path)
    eventually(lambda: worker.metric(AVAILABLE) == 1, "the gate has no reading")
    assert worker.metric(BUDGET) == 0
    queue.submit([message(f"m{number}") for number in range(50)])
    eventually(lambda: sum(queue.counts()) == 50, "they are gone")
    assert server.requests == []
    target.show(name, opened)
    assert len(queue.receive_all(50)) == 50
    target.show(name, closed)
    eventually(lambda: worker.metric(BUDGET) == 0, "it does not close again")
    queue.submit([message("later")])
    eventually(lambda: sum(queue.counts()) == 1, "it is gone")
    assert server.seen("begin", "later") == []
    target.show(name, opened)
    assert queue.receive()["id"] == "later"


def test_a_gate_of_one_queue_leaves_the_others_alone(processes, redis_server, queue, servers, watched, tmp_path):
    gate, name, _, closed, opened = CASES["prometheus-query"]
    target, prometheus = watched
    target.show(name, closed)
    server = servers()
    gated = redis_queue(redis_server, gate=gate)
    free = {**redis_queue(redis_server, queue="free-requests"), "name": "free"}
    path = processor_config(
        tmp_path, [gated, free], server.url, prometheus={"url": prometheus.url, "refresh": "100ms"})
    worker = processes(Processor, path)
    eventually(lambda: worker.metric(AVAILABLE) == 1 and worker.metric(VALUE) == closed, "the gate has no such reading")
    queue.submit([message(f"held-{number}") for number in range(20)])
    type(queue)(queue.client, "free-requests").submit([message(f"free-{number}") for number in range(20)])
    assert all(name.startswith("free") for name in queue.receive_all(20))
    assert sum(queue.counts()) == 20
    target.show(name, opened)
    assert all(name.startswith("held") for name in queue.receive_all(20))


def test_a_gate_without_its_prometheus_closes(processes, redis_server, queue, servers, prometheus_server, tmp_path):
    gate = CASES["prometheus-query"][0]
    target = processes(Exposition, room=('{pool="p"}', 1))
    prometheus = prometheus_server(target.address)
    server = servers()
    path = processor_config(
        tmp_path, [redis_queue(redis_server, gate=gate)], server.url,
        prometheus={"url": prometheus.url, "refresh": "100ms", "staleness": "1s"})
    worker = processes(Processor, path)
    queue.submit([message("before")])
    assert queue.receive()["id"] == "before"
    prometheus.kill()
    eventually(lambda: worker.metric(AVAILABLE) == 0, "it does not notice")
    queue.submit([message("during")])
    eventually(lambda: sum(queue.counts()) == 1, "it is gone")
    assert server.seen("begin", "during") == []
