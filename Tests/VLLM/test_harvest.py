"""With real engines: batch work takes what a chat load leaves, and the chat does not notice."""

import json
import random
import threading
import time

from chat import Request, body, chat_load, percentile, send, text
from engines import wait_until_idle
from weir_processes import eventually, run

PAIRS = 3
CHATS_PER_PHASE = 60
LEARNING_S = 45
PROBES = 12
# About what the chat alone attains: who allows more than that has it taken.
LIMITS = {"ttft": "500ms", "tpot": "25ms"}


def batch_lines(count, until):
    """Messages that are worth nothing any more after that moment."""
    lines = []
    for number in range(count):
        payload = body(text(random, random.randint(60, 250)), random.randint(32, 96), stream=False)
        del payload["stream_options"]
        lines.append({"id": f"{until:.3f}-{number}", "payload": payload, "deadline": round(until)})
    return lines


def test_engines_disturb_each_other(engines, figure):
    """What two engines on one machine cost each other whatever anybody decides: the floor under all that follows."""
    asked, other = engines

    def median_ttft_ms():
        requests = [Request(0, text(random, 400), 2) for _ in range(PROBES)]
        return 1000 * percentile([outcome.ttft_s for outcome in send(asked.url, requests, at_once=1)], 50)

    def while_decoding(engine):
        long = threading.Thread(target=send, args=(engine.url, [Request(0, text(random, 20), 800)]))
        long.start()
        eventually(lambda: engine.running == 1, "it decodes")
        took = median_ttft_ms()
        assert engine.running == 1, "the long answer ended before the probes"
        long.join()
        return took

    idle, besides = median_ttft_ms(), {"the same": while_decoding(asked), "the other": while_decoding(other)}
    figure(
        f"an idle engine has the first token of 400 words in {idle:.0f} ms; while it decodes one request "
        f"{besides['the same'] / idle - 1:+.0%}, while the other engine decodes one {besides['the other'] / idle - 1:+.0%}")


def test_batch_work_leaves_the_time_to_first_token_alone(engines, weir, per_second, tmp_path, figure):
    queue = tmp_path / "queue.db"
    gateway = weir(
        {"slo": LIMITS},
        **{"async": {"queues": [{"name": "batch", "embedded": {"path": str(queue)}}]}},
    )

    def phase(seed, with_batch, seconds=CHATS_PER_PHASE / per_second):
        if with_batch:
            lines = batch_lines(1500, time.time() + seconds)
            run("submit", "-", "--queue", queue, input="".join(json.dumps(line) + "\n" for line in lines))
        before = gateway.metric("weir_output_tokens_total") if with_batch else 0
        outcomes = send(gateway.url, chat_load(seed, seconds, per_second))
        eventually(lambda: gateway.metric("weir_async_queue_depth") == 0, "the batch is over", timeout=120)
        wait_until_idle(engines)
        tokens = gateway.metric("weir_output_tokens_total") - before - sum(outcome.output_tokens for outcome in outcomes)
        return outcomes, tokens if with_batch else 0

    # Both sides have learned before anything is measured.
    phase(seed=0, with_batch=False, seconds=LEARNING_S)
    phase(seed=1, with_batch=True, seconds=LEARNING_S)
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
