"""The queue's commands, as somebody with a pile of work meets them."""

import json
import os
import pty
import subprocess
import time

import pytest

from weir_processes import BINARY, Gateway, Process, Simulator, eventually, post, run

CHAT = {"model": "sim", "max_tokens": 3, "ignore_eos": True, "messages": [{"role": "user", "content": "hello"}]}


def batch_line(number):
    return json.dumps({"custom_id": f"b{number}", "method": "POST", "url": "/v1/chat/completions", "body": CHAT})


def test_work_is_accepted_before_anybody_serves_it_and_twice_is_once(tmp_path):
    queue = tmp_path / "q.db"
    lines = "\n".join(batch_line(number) for number in range(50))
    assert "50 accepted" in run("submit", "-", "--queue", queue, input=lines)
    assert "50 already known" in run("submit", "-", "--queue", queue, input=lines + "\n")
    depth = json.loads(run("queue", "ls", "--json", "--queue", queue))
    assert (depth["ready"], depth["results"]) == (50, 0)


def test_bad_lines_are_named_by_file_and_line_and_the_good_ones_are_taken(tmp_path):
    jobs = tmp_path / "jobs.jsonl"
    jobs.write_text(batch_line(1) + "\nnot json\n\n" + json.dumps({"id": "x"}) + "\n" + batch_line(2) + "\n")
    done = run("submit", jobs, "--queue", tmp_path / "q.db", check=False)
    assert done.returncode == 1
    assert f"{jobs}:2:" in done.stderr and f"{jobs}:4:" in done.stderr
    assert "2 accepted" in done.stdout and "2 refused: malformed" in done.stdout


def test_an_id_that_is_taken_by_another_request_is_refused(tmp_path):
    queue = tmp_path / "q.db"
    run("submit", "-", "--queue", queue, input=batch_line(1))
    other = json.dumps({"custom_id": "b1", "method": "POST", "url": "/v1/chat/completions", "body": {**CHAT, "max_tokens": 4}})
    done = run("submit", "-", "--queue", queue, input=other, check=False)
    assert done.returncode == 1 and "b1" in done.stderr


def test_a_queue_that_is_not_there_or_is_something_else_is_said_plainly(tmp_path):
    missing = run("results", "--queue", tmp_path / "none.db", check=False)
    assert missing.returncode == 1 and "none.db" in missing.stderr
    other = tmp_path / "other.db"
    other.write_text("this is no database, but it is longer than a header would be, so that nobody is misled\n" * 20)
    wrong = run("queue", "ls", "--queue", other, check=False)
    assert wrong.returncode == 1 and "other.db" in wrong.stderr
    assert other.read_text().startswith("this is no database")


def test_follow_prints_results_as_they_come(pool, processes, tmp_path):
    queue = tmp_path / "queue.db"
    following = processes(Process, "results", "--follow", "--queue", queue)
    run("submit", "-", "--queue", queue, input=batch_line(1))
    assert json.loads(following.wait_for('"b1"'))["status_code"] == 200
    run("submit", "-", "--queue", queue, input=batch_line(2))
    assert json.loads(following.wait_for('"b2"'))["status_code"] == 200


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def test_requests_are_listed_with_where_they_stand(tmp_path):
    queue = tmp_path / "q.db"
    run("submit", "-", "--queue", queue, "--tenant", "red", "--priority", 3, input=batch_line(1) + "\n" + batch_line(2))
    run("submit", "-", "--queue", queue, input=json.dumps({"id": "plain\x1b[31m", "payload": {"model": "other"}}))
    assert run("queue", "cancel", "b2", "--queue", queue) == "b2: cancelled\n"
    listed = lines(run("queue", "ls", "--messages", "--json", "--queue", queue))
    assert [(view["id"], view["state"], view["priority"]) for view in listed] == [
        ("b1", "queued", 3),
        ("b2", "cancelled", 3),
        ("plain\x1b[31m", "queued", 0),
    ]
    for filter, ids in [
        (["--tenant", "red"], ["b1", "b2"]),
        (["--state", "cancelled"], ["b2"]),
        (["--model", "other"], ["plain\x1b[31m"]),
        (["--limit", 1], ["b1"]),
        (["--state", "running"], []),
    ]:
        found = lines(run("queue", "ls", "--messages", "--json", *filter, "--queue", queue))
        assert [view["id"] for view in found] == ids
    table = run("queue", "ls", "--messages", "--queue", queue).splitlines()
    assert table[0].split()[:3] == ["ID", "STATE", "CLASS"] and len(table) == 4
    assert "\x1b" not in table[3]


def test_peek_shows_a_request_and_its_result(pool, tmp_path):
    queue = tmp_path / "queue.db"
    run("submit", "-", "--queue", queue, input=batch_line(1))
    run("results", "--wait", "--queue", queue, timeout=60)
    seen = json.loads(run("queue", "peek", "b1", "--queue", queue))
    assert (seen["state"], seen["attempts"], seen["status_code"]) == ("succeeded", 1, 200)
    assert json.loads(seen["result"]["payload"])["usage"]["completion_tokens"] == 3
    waiting = tmp_path / "waiting.db"
    run("submit", "-", "--queue", waiting, input=batch_line(2))
    seen = json.loads(run("queue", "peek", "b2", "--queue", waiting))
    assert (seen["state"], seen["payload"]) == ("queued", CHAT) and "result" not in seen
    missing = run("queue", "peek", "b3", "--queue", queue, check=False)
    assert missing.returncode == 1 and "b3" in missing.stderr


def test_what_is_in_work_is_cancelled_while_the_queue_is_served(processes, tmp_path):
    queue = tmp_path / "queue.db"
    simulator = processes(Simulator, 1, "--hang", 1000)
    processes(Gateway, simulator.urls, tmp_path)
    run("submit", "-", "--queue", queue, input=batch_line(1) + "\n" + batch_line(2))

    def running():
        return lines(run("queue", "ls", "--messages", "--state", "running", "--json", "--queue", queue))

    eventually(lambda: len(running()) == 2, "they are not in work")
    begun = time.monotonic()
    done = run("queue", "cancel", "b1", "nobody", "--queue", queue, check=False)
    assert time.monotonic() - begun < 5
    assert done.returncode == 1
    assert done.stdout.splitlines() == ["b1: cancelled", "nobody: not in this queue"]
    assert [view["id"] for view in running()] == ["b2"]
    again = run("queue", "cancel", "b1", "--queue", queue, check=False)
    assert (again.returncode, again.stdout) == (1, "b1: has its result already\n")
    assert [result["error_code"] for result in lines(run("results", "--queue", queue))] == ["CANCELLED"]


def test_what_is_exported_can_be_submitted_elsewhere(tmp_path):
    first, second = tmp_path / "first.db", tmp_path / "second.db"
    message = {
        "id": "m", "deadline": 2_000_000_000, "endpoint": "/v1/completions", "payload": {"model": "sim", "seed": 1.0},
        "headers": {"x-a": "b"}, "metadata": {"k": "v"}, "tenant": "red", "priority": -2, "webhook": "https://h/x",
    }
    run("submit", "-", "--queue", first, input=json.dumps(message) + "\n" + batch_line(1))
    exported = run("queue", "export", "--queue", first)
    assert {key: value for key, value in json.loads(exported.splitlines()[0]).items() if key != "created"} == message
    assert "2 accepted" in run("submit", "-", "--queue", second, input=exported)
    assert [line["id"] for line in lines(run("queue", "export", "--queue", second))] == ["m", "b1"]
    assert "2 already known" in run("submit", "-", "--queue", first, input=exported)


def test_dead_letters_are_kept_with_their_reason_and_run_again(processes, tmp_path):
    queue, config = tmp_path / "queue.db", tmp_path / "weir.yaml"
    simulator = processes(Simulator, 1, "--error", 1000)
    config.write_text(
        f"""
gateway: {{listen: "127.0.0.1:0"}}
admin: {{listen: "127.0.0.1:0"}}
pools:
  - name: p
    endpoints: [{{url: "{simulator.urls[0]}"}}]
async:
  queues: [{{name: q, embedded: {{path: {queue}}}}}]
  retry: {{base: 10ms, cap: 20ms, maxFailures: 2}}
"""
    )
    processes(Gateway, config=config)
    run("submit", "-", "--queue", queue, input=batch_line(1) + "\n" + batch_line(2))
    results = lines(run("results", "--wait", "--queue", queue, timeout=60))
    assert [(result["dead_letter"], result["failures"]) for result in results] == [(True, 2), (True, 2)]
    assert json.loads(run("queue", "ls", "--json", "--queue", queue))["dead_letters"] == 2
    dead = lines(run("queue", "peek", "--dead", "--queue", queue))
    assert sorted(letter["id"] for letter in dead) == ["b1", "b2"]
    assert all(letter["reason"] and letter["payload"] == CHAT and letter["status_code"] == 500 for letter in dead)
    assert [letter["id"] for letter in lines(run("queue", "peek", "--dead", "b2", "--queue", queue))] == ["b2"]
    exported = lines(run("queue", "export", "--dead", "--queue", queue))
    assert sorted(line["id"] for line in exported) == ["b1", "b2"] and exported[0]["payload"] == CHAT

    post(simulator.urls[0] + "/admin/faults", {}).read()
    assert run("queue", "redrive", "b1", "--queue", queue) == "1 run again\n"
    missing = run("queue", "redrive", "b1", "--queue", queue, check=False)
    assert (missing.returncode, missing.stdout) == (1, "0 run again\n") and "b1" in missing.stderr
    assert run("queue", "redrive", "--all", "--queue", queue) == "1 run again\n"
    results = lines(run("results", "--wait", "--queue", queue, timeout=60))
    assert sorted((result["id"], result["status_code"]) for result in results[2:]) == [("b1", 200), ("b2", 200)]
    assert len({(result["id"], result["request_token"]) for result in results}) == 4
    assert json.loads(run("queue", "ls", "--json", "--queue", queue))["dead_letters"] == 0


def test_purge_removes_what_is_finished_and_nothing_else(pool, tmp_path):
    queue = tmp_path / "queue.db"
    run("submit", "-", "--queue", queue, input="\n".join(batch_line(number) for number in range(5)))
    run("results", "--wait", "--queue", queue, timeout=60)
    assert run("queue", "purge", "--results-older-than", "7d", "--queue", queue, input="").startswith("0 results")
    assert run("queue", "purge", "b0", "b1", "--queue", queue, input="").startswith("2 results")
    assert run("queue", "purge", "--everything-finished", "--queue", queue, input="").startswith("3 results")
    assert run("results", "--queue", queue) == ""
    waiting = tmp_path / "waiting.db"
    run("submit", "-", "--queue", waiting, input=batch_line(1))
    run("queue", "purge", "--everything-finished", "--queue", waiting, input="")
    assert json.loads(run("queue", "ls", "--json", "--queue", waiting))["ready"] == 1


def test_purge_asks_whoever_sits_at_a_terminal(tmp_path):
    queue = tmp_path / "q.db"
    run("submit", "-", "--queue", queue, input=batch_line(1))
    run("queue", "cancel", "b1", "--queue", queue)
    command = [str(BINARY), "queue", "purge", "--results", "--queue", str(queue)]
    terminal, side = pty.openpty()
    try:
        refused = subprocess.run(command, stdin=side, capture_output=True, text=True, timeout=60)
        assert refused.returncode == 2 and "--yes" in refused.stderr
        assert json.loads(run("queue", "ls", "--json", "--queue", queue))["results"] == 1
        meant = subprocess.run([*command, "--yes"], stdin=side, capture_output=True, text=True, timeout=60)
        assert meant.returncode == 0 and meant.stdout.startswith("1 results")
    finally:
        os.close(terminal)
        os.close(side)


@pytest.mark.parametrize(
    "arguments",
    [
        ("queue", "ls", "--state", "queued"),
        ("queue", "ls", "--messages", "--state", "lost"),
        ("queue", "ls", "--messages", "--limit", "0"),
        ("queue", "peek"),
        ("queue", "cancel"),
        ("queue", "redrive"),
        ("queue", "redrive", "b1", "--all"),
        ("queue", "redrive", "--all", "--window", "0"),
        ("queue", "purge"),
        ("queue", "purge", "--results", "--dead-letters"),
        ("queue", "purge", "--results-older-than", "7"),
        ("submit", "-", "--priority", "10"),
        ("submit", "-", "--tenant", "a\nb"),
    ],
)
def test_a_command_that_makes_no_sense_ends_with_2(arguments, tmp_path):
    done = run(*arguments, cwd=tmp_path, input="", check=False)
    assert done.returncode == 2 and done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("queue", "ls"), ("queue", "peek", "a"), ("queue", "cancel", "a"), ("queue", "redrive", "--all"), ("queue", "export")],
)
def test_no_command_makes_a_queue_that_is_not_there(arguments, tmp_path):
    done = run(*arguments, "--queue", tmp_path / "none.db", check=False)
    assert done.returncode == 1 and "none.db" in done.stderr
    assert list(tmp_path.iterdir()) == []
