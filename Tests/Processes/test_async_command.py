"""`weir async`: the command line and the files of llm-d-async, as its users have them."""

import json

import pytest

from sorted_set import Queue, connect, message
from weir_processes import Process, Processor, free_port, get, run

GATES = '[{"gate_type":"constant","gate_params":{}},{"gate_type":"local-max-concurrency","gate_params":{"limit":"3"}}]'
POOLS = [{"id": "default", "workers": 4, "gate_type": "composite", "gate_params": {"gates": GATES}}]
MERGE = {"type": "tier-priority", "parameters": {"fairness_attribute": "userid"}}


class AsyncProcessor(Process):
    """`weir async` with free ports."""

    def __init__(self, *arguments, **options):
        self.health = f"http://127.0.0.1:{(port := free_port())}"
        super().__init__("async", *arguments, "--metrics-port", free_port(), "--health-port", port, **options)
        self.admin = self.wait_for("admin  ").split()[-1]
        self.wait_for("ready")


def written(folder, name, content):
    path = folder / name
    path.write_text(json.dumps(content))
    return path


def sorted_set_transport(url, gateway, **fields):
    entry = {"queue_name": "batch-requests", "result_queue_name": "batch-results", "igw_base_url": gateway,
             "request_path_url": "/v1/chat/completions", "inference_objective": "batch", "labels": {"tier": "batch"}}
    return {"url": url, "poll_interval_ms": 500, "batch_size": 10, "retry_queue_name": "retry-sortedset",
            "queues": [{**entry, **fields}]}


def test_a_sorted_set_transport_with_its_official_files(processes, redis_server, servers, tmp_path):
    server = servers()
    transport = sorted_set_transport("", server.url)
    del transport["url"]
    arguments = [
        "--transport", "redis-sortedset", "--transport-config-file", written(tmp_path, "transport.json", transport),
        "--pool-config-file", written(tmp_path, "pools.json", POOLS), "--request-timeout=1m", "--drain-timeout", "5s",
        "--request-merge-policy-config-file", written(tmp_path, "merge.json", MERGE), "--metrics-endpoint-auth=false",
        "-v=2",
    ]
    worker = processes(AsyncProcessor, *arguments, env={"REDIS_URL": redis_server.url})
    said = "\n".join(worker.lines)
    assert "poll_interval_ms has no effect" in said and "batch_size has no effect" in said
    assert get(worker.health + "/healthz") and get(worker.health + "/readyz")
    with connect(redis_server.url) as client:
        queue = Queue(client, "batch-requests", "batch-results")
        request = message("m", metadata={"userid": "u1"})
        del request["endpoint"]
        queue.submit([request], "older")
        assert queue.receive()["status_code"] == 200
    (asked,) = server.requests
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["x-llm-d-inference-objective"] == "batch"
    assert asked.headers["x-llm-d-inference-fairness-id"] == "u1"
    assert asked.headers["x-gateway-priority"] == "5"
    assert worker.stop() == 0


def test_a_pubsub_transport_with_its_official_file(processes, project, servers, tmp_path):
    project.create("requests", "results")
    server = servers()
    transport = {"project_id": project.name, "result_topic_id": "results", "batch_size": 10, "topics": [
        {"subscriber_id": "requests", "igw_base_url": server.url, "inference_objective": "batch"}]}
    processes(AsyncProcessor, "--transport=gcp-pubsub", "--transport-config", json.dumps(transport), env=project.environment)
    results = project.consume("results")
    project.publish("requests", [message("m")])
    assert results.results(1)["m"]["status_code"] == 200


def test_deprecated_flags_still_work_and_are_named(processes, redis_server, servers):
    worker = processes(
        AsyncProcessor, "--message-queue-impl=redis-sortedset", f"--redis.url={redis_server.url}",
        f"--redis.ss.igw-base-url={servers().url}", "--redis.ss.request-queue-name=old-requests",
        "--redis.ss.result-queue-name=old-results")
    said = "\n".join(worker.lines)
    assert "--message-queue-impl is deprecated" in said and "--redis.ss.igw-base-url is deprecated" in said
    with connect(redis_server.url) as client:
        queue = Queue(client, "old-requests", "old-results")
        queue.submit([message("m")], "older")
        assert queue.receive()["status_code"] == 200


def test_the_same_can_be_written_as_a_file_for_serve(processes, redis_server, servers, tmp_path):
    transport = sorted_set_transport(redis_server.url, servers().url)
    done = run(
        "async", "--transport", "redis-sortedset", "--transport-config", json.dumps(transport), "--metrics-port",
        free_port(), "--health-port", free_port(), "--print-config")
    path = tmp_path / "weir.yaml"
    path.write_text(done)
    processes(Processor, path)
    with connect(redis_server.url) as client:
        queue = Queue(client, "batch-requests", "batch-results")
        queue.submit([message("m")])
        assert queue.receive()["status_code"] == 200


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"gate_type": "prometheus-saturated"}, "prometheus-saturation"),
        ({"gate_type": "prometheus-saturation", "gate_params": {"pool": "p", "treshold": 0.5}}, "threshold"),
        ({"worker_pool_id": "nobody"}, "nobody"),
        ({"igw_base_ulr": "http://127.0.0.1:1"}, "igw_base_url"),
    ],
)
def test_a_mistake_in_a_file_is_a_complaint_that_names_it(tmp_path, fields, complaint):
    path = written(tmp_path, "transport.json", sorted_set_transport("redis://127.0.0.1:1", "http://127.0.0.1:1", **fields))
    done = run(
        "async", "--transport=redis-sortedset", "--transport-config-file", path, "--prometheus-url=http://127.0.0.1:1",
        check=False, timeout=20)
    assert done.returncode not in (0, -6, -9, -11)
    assert str(path) in done.stderr and complaint in done.stderr, done.stderr
