"""With real engines: what they publish about their caches is known exactly, whoever filled or emptied them."""

import random

from chat import Request, body, send, text
from weir_processes import call, eventually, get

# Half an engine's cache takes five of these.
WORDS = 1200


def following(gateway):
    """Whether each endpoint's events are followed, as far as Weir has told of any."""
    lines = get(gateway.admin + "/metrics").splitlines()
    return [line.endswith(" 1") for line in lines if line.startswith("weir_kv_events_following{")]


def start(weir):
    """A Weir that listens to both engines; a busy machine's tokenizer may take its time."""
    return weir(
        {"routing": {"prefix": {"tokenizer": {"timeout": "20s"}}}},
        endpoint=lambda engine: {"kvEvents": {"port": engine.events_port, "replayPort": engine.replay_port}},
    )


class Asker:
    """Asks through Weir and compares what it expected with what came."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.asked = 0

    def ask(self, prompt):
        """Where the request went, what Weir expected to be cached at each engine, and what the engine says was."""
        self.asked += 1
        name = f"kv-{self.asked}"
        message = body(prompt + " " + text(random, 50), 4, stream=False)
        del message["stream_options"]
        status, _, answer = call(
            "POST", self.gateway.url + "/v1/chat/completions", message, {"x-weir-explain": "true", "x-request-id": name})
        assert status == 200, answer
        status, _, receipt = call("GET", f"{self.gateway.url}/weir/v1/decisions/{name}")
        assert status == 200, receipt
        expected = {candidate["endpoint"]: candidate["cached_prompt_tokens"] for candidate in receipt["candidates"]}
        return receipt["endpoint"], expected, answer["usage"]["prompt_tokens_details"]["cached_tokens"]


def test_events_tell_what_is_cached(engines, weir, figure):
    first, second = engines
    early, late = text(random, WORDS), text(random, WORDS)
    # Cached before Weir is there: the replay tells.
    send(first.url, [Request(0, early, 4)])
    gateway = start(weir)
    eventually(lambda: any(following(gateway)), "the first is followed")
    # And what others than Weir have asked the engine for.
    send(second.url, [Request(0, late, 4)])
    eventually(lambda: following(gateway) == [True, True], "both are followed")

    asker = Asker(gateway)
    lines = []
    for prompt, engine, other in ((early, first, second), (late, second, first)):
        place, expected, cached = asker.ask(prompt)
        lines.append(f"{expected[engine.name]} expected, {cached} cached")
        assert place == engine.name
        assert cached == expected[engine.name] >= WORDS - engine.block_tokens
        assert expected[other.name] == 0

    # Others push it out of the cache, which no request of ours could tell.
    fill = engines[0].cache_blocks * engines[0].block_tokens // WORDS + 3
    others = [text(random, WORDS) for _ in range(fill)]
    send(first.url, [Request(0, prompt, 4) for prompt in others], at_once=1)
    # Events come in order: who knows of the last one knows of all before it.
    eventually(lambda: asker.ask(others[-1])[1][first.name] > WORDS // 2, "the last one is known")
    _, expected, _ = asker.ask(early)
    assert expected[first.name] == 0

    tokenized = gateway.metric("weir_tokenizations_total")
    assert tokenized == asker.asked
    figure(
        f"KV events: cached prompt tokens as they were expected ({'; '.join(lines)}), evicted ones known,"
        f" {tokenized:.0f} prompts tokenized")
