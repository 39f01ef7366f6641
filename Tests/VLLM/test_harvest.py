"""With real engines: batch work takes what a chat load leaves, and the chat does not notice."""

import json
import random
import time

from chat import body, chat_load, percentile, send, text
from engines import wait_until_idle
from weir_processes import eventually, run

PAIRS = 5
CHATS_PER_PHASE = 60

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
    phase_s = CHATS_PER_PHASE / per_second
    send(gateway.url, chat_load(seed=0, seconds=2 * phase_s, per_second=per_second))

    def phase(seed, with_batch):
        if with_batch:
            lines = batch_lines(3000, time.time() + phase_s)
            run("submit", "-", "--queue", queue, input="".join(json.dumps(line) + "\n" for line in lines))
        before = gateway.metric("weir_output_tokens_total") if with_batch else 0
        outcomes = send(gateway.url, chat_load(seed, phase_s, per_second))
        eventually(lambda: gateway.metric("weir_async_queue_depth") == 0, "the batch is over", timeout=120)
        wait_until_idle(engines)
        tokens = gateway.metric("weir_output_tokens_total") - before - sum(outcome.output_tokens for outcome in outcomes)
        return outcomes, tokens if with_batch else 0

    alone, beside, harvested = [], [], 0
    for pair in range(PAIRS):
        # The same chat twice, so that the two differ only in the batch; which comes first alternates.
        for with_batch in (False, True) if pair % 2 == 0 else (True, False):
            outcomes, tokens = phase(seed=100 + pair, with_batch=with_batch)
            (beside if with_batch else alone).extend(outcomes)
            harvested += tokens

    def ttft(outcomes, share):
        return 1000 * percentile([outcome.ttft_s for outcome in outcomes], share)

    def row(outcomes):
        return ", ".join(f"p{share} {ttft(outcomes, share):.0f} ms" for share in (50, 90, 95, 99))

    figure(f"chat alone: {len(alone)} requests, TTFT {row(alone)}")
    chatted = sum(outcome.output_tokens for outcome in beside)
    figure(
        f"chat beside batch: {len(beside)} requests, TTFT {row(beside)};"
        f" {harvested / chatted:.1f} batch tokens for each token of the chat")
    # Chat takes about a third of the engines, and half of the rest is not nothing.
    assert harvested > chatted
    assert ttft(beside, 99) <= 1.1 * ttft(alone, 99)
