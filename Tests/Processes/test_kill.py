"""The whole process dies in the middle of its work and is started again."""

import collections
import json

from weir_processes import Gateway, Simulator, eventually, run

MESSAGES = 2000


def lines():
    for number in range(MESSAGES):
        yield json.dumps(
            {
                "custom_id": f"line-{number}",
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {
                    "model": "llama-8b",
                    "max_tokens": 16,
                    "ignore_eos": True,
                    "messages": [{"role": "user", "content": f"Sum up document {number}. " + "word " * 60}],
                },
            }
        )


def test_kill_9_in_the_middle_leaves_exactly_one_result_for_every_message(processes, tmp_path):
    simulator = processes(Simulator, 2, "--model", "llama-8b")
    gateway = processes(Gateway, simulator.urls, tmp_path)
    jobs = tmp_path / "jobs.jsonl"
    jobs.write_text("\n".join(lines()) + "\n")
    queue = tmp_path / "queue.db"

    assert f"{MESSAGES} accepted" in run("submit", jobs, "--queue", queue)
    for share in (0.2, 0.5):
        eventually(lambda: depth(queue)["results"] >= share * MESSAGES, "no progress", timeout=120)
        before = depth(queue)
        gateway.kill()
        assert before["results"] < MESSAGES, "killed too late to show anything"
        assert depth(queue)["leased"] > 0, "nothing was in work when the process died"
        gateway = processes(Gateway, simulator.urls, tmp_path)

    results = [json.loads(line) for line in run("results", "--wait", "--queue", queue, timeout=300).splitlines()]
    counts = collections.Counter(result["id"] for result in results)
    assert len(counts) == MESSAGES
    assert set(counts.values()) == {1}
    assert all(result["status_code"] == 200 for result in results)
    assert all(json.loads(result["payload"])["usage"]["completion_tokens"] == 16 for result in results)

    assert f"{MESSAGES} already known" in run("submit", jobs, "--queue", queue)
    assert gateway.stop() == 0


def depth(queue):
    return json.loads(run("queue", "ls", "--json", "--queue", queue))
