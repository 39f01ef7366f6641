"""With real engines: batch work takes what a chat load leaves, and the chat does not notice."""

import json
import random
import time

from chat import body, chat_load, percentile, send, text
from engines import wait_until_idle
from weir_processes import eventually, run

PAIRS = 5
PHASE_S = 45

def batch_lines(count, until):
    """Messages that are worth nothing any more after that moment."""
    lines = []
    for number in range(count):
        payload = body(text(random, random.randint(60, 250)), random.randint(32, 96), stream=False)
        del payload["stream_options"]
        lines.append({"id": f"{until:.3f}-{number}", "payload": payload, "deadline": round(until)})
    return lines


def test_batch_work_leaves_the_time_to_first_token_alone(engines, weir, per_second, tmp_path, figure):
    queue = tmp_path / "queue.db"
    gateway = weir(
        {"slo": {"ttft": "1s", "tpot": "60ms"}},
        **{"async": {"queues": [{"name": "batch", "embedded": {"path": str(queue)}}]}},
    )
    # Both sides have learned before anything is measured.
    send(gateway.url, chat_load(seed=0, seconds=60, per_second=per_second))

    def phase(seed, with_batch):
        if with_batch:
            lines = batch_lines(2000, time.time() + PHASE_S)
            run("submit", "-", "--queue", queue, input="".join(json.dumps(line) + "\n" for line in lines))
        before = gateway.metric("weir_output_tokens_total") if with_batch else 0
        outcomes = send(gateway.url, chat_load(seed, PHASE_S, per_second))
        eventually(lambda: gateway.metric("weir_async_queue_depth") == 0, "the batch is over", timeout=60)
        wait_until_idle(engines)
        tokens = gateway.metric("weir_output_tokens_total") - before - sum(outcome.output_tokens for outcome in outcomes)
        return [outcome.ttft_s for outcome in outcomes], tokens if with_batch else 0

    alone, beside, harvested = [], [], 0
    for pair in range(PAIRS):
        # The same chat twice, so that the two differ only in the batch; which comes first alternates.
        for with_batch in (False, True) if pair % 2 == 0 else (True, False):
            times, tokens = phase(seed=100 + pair, with_batch=with_batch)
            (beside if with_batch else alone).extend(times)
            harvested += tokens

    def row(times):
        return ", ".join(f"p{share} {1000 * percentile(times, share):.0f} ms" for share in (50, 90, 95, 99))

    figure(f"chat alone: {len(alone)} requests, TTFT {row(alone)}")
    figure(
        f"chat beside batch: {len(beside)} requests, TTFT {row(beside)}; {harvested / (PAIRS * PHASE_S):.0f} batch tokens/s")
    assert harvested / (PAIRS * PHASE_S) > 20
    assert percentile(beside, 99) <= 1.1 * percentile(alone, 99)
