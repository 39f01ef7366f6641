"""The queue's commands, as somebody with a pile of work meets them."""

import json

from weir_processes import Process, run

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
