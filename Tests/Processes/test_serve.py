"""The command line and the life of the service, as an operator meets them."""

import json
import socket
import threading
import urllib.error

import pytest

from weir_processes import ROOT, Gateway, Process, Simulator, eventually, get, post, run

CHAT = {"model": "sim", "max_tokens": 4, "ignore_eos": True, "messages": [{"role": "user", "content": "hello"}]}


def test_bad_usage_is_exit_2_and_one_plain_sentence():
    for arguments in (["serve"], ["serve", "--endpoint", "nonsense"], ["nonsense"], ["lab", "run", "nonsense"]):
        done = run(*arguments, check=False)
        assert done.returncode == 2, arguments
        assert done.stderr.strip(), arguments


def test_a_bad_configuration_names_file_key_and_expectation(tmp_path):
    config = tmp_path / "weir.yaml"
    config.write_text("pools:\n  - name: a\n    endpoints: [{url: 'http://127.0.0.1:1', engin: vllm}]\n")
    done = run("config", "check", config, check=False)
    assert done.returncode == 2
    assert f"{config}:3:" in done.stderr and "engin" in done.stderr and "engine" in done.stderr
    assert run("serve", "--config", config, check=False).returncode == 2


def test_the_example_configuration_is_sound_and_shows_every_default():
    assert "is sound" in run("config", "check", ROOT / "Examples/weir.yaml")
    assert "keepAliveIdle" in run("config", "show", ROOT / "Examples/weir.yaml")


def test_an_address_that_is_taken_is_exit_1_with_the_address(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run(
            "serve", "--endpoint", "http://127.0.0.1:9", "--listen", f"127.0.0.1:{port}", "--admin-listen", "127.0.0.1:0",
            "--queue", "none", cwd=tmp_path, check=False, timeout=60,
        )
    assert done.returncode == 1
    assert str(port) in done.stderr


def test_a_second_server_on_the_same_queue_is_refused(pool, tmp_path):
    simulator, gateway = pool
    done = run(
        "serve", "--endpoint", simulator.urls[0], "--queue", tmp_path / "queue.db", "--listen", "127.0.0.1:0",
        "--admin-listen", "127.0.0.1:0", check=False, timeout=60,
    )
    assert done.returncode == 1
    assert "another process" in done.stderr


def test_the_first_run_says_what_it_found_and_a_curl_to_paste(pool):
    _, gateway = pool
    said = "\n".join(gateway.lines)
    assert "vllm" in said and "models sim" in said and "curl http" in said
    assert json.loads(get(gateway.admin + "/readyz"))["ready"] is True
    assert "<html" in get(gateway.admin + "/")


def test_sigterm_lets_a_request_finish_and_exits_0(pool):
    simulator, gateway = pool
    answer = {}

    def ask():
        body = {**CHAT, "max_tokens": 200}
        answer["status"] = post(gateway.url + "/v1/chat/completions", body).status

    asking = threading.Thread(target=ask)
    asking.start()
    eventually(lambda: simulator.metric("vllm:num_requests_running") == 1, "the request does not run")
    assert gateway.stop() == 0
    asking.join()
    assert answer["status"] == 200


def test_an_endpoint_that_dies_is_marked_down_and_comes_back(processes, tmp_path):
    steady = processes(Simulator, 1)
    dying = processes(Simulator, 1)
    port = dying.urls[0].rsplit(":", 1)[1]
    gateway = processes(Gateway, steady.urls + dying.urls, tmp_path)
    assert gateway.metric("weir_endpoint_up") == 2
    dying.kill()
    for _ in range(20):
        assert post(gateway.url + "/v1/chat/completions", CHAT).status == 200
    eventually(lambda: gateway.metric("weir_endpoint_up") == 1, "the dead endpoint is still up")
    back = processes(Process, "sim", "--port", port)
    back.wait_for("replica 0")
    eventually(lambda: gateway.metric("weir_endpoint_up") == 2, "the endpoint did not come back")


def test_without_any_endpoint_clients_get_503_and_messages_wait(processes, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    gateway = processes(Gateway, [f"http://127.0.0.1:{port}"], tmp_path)
    with pytest.raises(urllib.error.HTTPError) as caught:
        post(gateway.url + "/v1/chat/completions", CHAT)
    assert caught.value.code in (404, 503)
    assert json.loads(caught.value.read())["error"]["message"]
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(gateway.admin + "/readyz")
    assert caught.value.code == 503

    jobs = tmp_path / "jobs.jsonl"
    jobs.write_text(json.dumps({"id": "a", "deadline": 4_000_000_000, "payload": CHAT}) + "\n")
    queue = tmp_path / "queue.db"
    assert "1 accepted" in run("submit", jobs, "--queue", queue)
    late = processes(Process, "sim", "--port", port)
    late.wait_for("replica 0")
    results = [json.loads(line) for line in run("results", "--wait", "--queue", queue, timeout=60).splitlines()]
    assert [(result["id"], result["status_code"]) for result in results] == [("a", 200)]


def test_realtime_goes_first_and_no_message_starts_while_it_waits(processes, tmp_path):
    simulator = processes(Simulator, 1)
    config = tmp_path / "weir.yaml"
    config.write_text(
        f"""
gateway: {{listen: "127.0.0.1:0", accessLog: {tmp_path}/access.log}}
admin: {{listen: "127.0.0.1:0"}}
pools:
  - name: p
    endpoints: [{{url: "{simulator.urls[0]}"}}]
    admission: {{maxConcurrentRequestsPerEndpoint: 2}}
async:
  queues: [{{name: q, embedded: {{path: {tmp_path}/queue.db}}}}]
"""
    )
    gateway = processes(Gateway, config=config)
    jobs = tmp_path / "jobs.jsonl"
    jobs.write_text("".join(json.dumps({"id": f"m{n}", "deadline": 4_000_000_000, "payload": CHAT}) + "\n" for n in range(20)))
    body = {**CHAT, "max_tokens": 60}
    asking = [threading.Thread(target=lambda: post(gateway.url + "/v1/chat/completions", body).read()) for _ in range(12)]
    for thread in asking:
        thread.start()
    eventually(lambda: gateway.metric("weir_queue_depth") > 0, "nobody waits")
    run("submit", jobs, "--queue", tmp_path / "queue.db")
    for thread in asking:
        thread.join()
    run("results", "--wait", "--queue", tmp_path / "queue.db", timeout=60)
    assert gateway.stop() == 0
    log = [json.loads(line) for line in (tmp_path / "access.log").read_text().splitlines()]
    ends = [(entry["priority"], entry["status"]) for entry in log if entry["path"].startswith("/v1/chat")]
    assert ends.count((0, 200)) == 12 and ends.count((-1, 200)) == 20
    # At most two run at once and twelve are in line: the first ten that end must all be real-time.
    assert [priority for priority, _ in ends[:10]] == [0] * 10


def test_messages_run_beside_clients_that_wait_for_whole_answers(pool, tmp_path):
    simulator, gateway = pool
    jobs = tmp_path / "jobs.jsonl"
    jobs.write_text("".join(json.dumps({"id": f"m{n}", "deadline": 4_000_000_000, "payload": CHAT}) + "\n" for n in range(200)))
    body = {**CHAT, "max_tokens": 1500}  # about ten seconds
    asking = [threading.Thread(target=lambda: post(gateway.url + "/v1/chat/completions", body).read()) for _ in range(3)]
    for thread in asking:
        thread.start()
    eventually(lambda: simulator.metric("vllm:num_requests_running") == 3, "the clients are not served")
    run("submit", jobs, "--queue", tmp_path / "queue.db")
    run("results", "--wait", "--queue", tmp_path / "queue.db", timeout=60)
    assert simulator.metric("vllm:num_requests_running") == 3, "the messages waited for the clients"
    for thread in asking:
        thread.join()
