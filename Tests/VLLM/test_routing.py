"""With real engines: prompts go where they are cached, predictions are measured, and who leaves frees the engine."""

import http.client
import json
import random
import statistics

from chat import Request, body, chat_load, send, text
from engines import MODEL
from weir_processes import eventually, get

AT_RANDOM = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: random-picker
schedulingProfiles:
- name: default
  plugins:
  - pluginRef: random-picker
"""

# Twelve groups of requests begin alike; their beginnings fill 1.2 caches, so one engine cannot have them all.
GROUPS, ROUNDS, SHARED_WORDS, OWN_WORDS = 12, 5, 1200, 40


def groups_of_requests():
    """Every group once in each round, in an order of its own; new words each time."""
    beginnings = [text(random, SHARED_WORDS) for _ in range(GROUPS)]
    return [
        Request(0, beginning + " " + text(random, OWN_WORDS), 8)
        for _ in range(ROUNDS)
        for beginning in random.sample(beginnings, GROUPS)
    ]


def hits_in_engines(engines, gateway):
    """Sends the groups, two requests at a time; the share of their tokens that the engines found cached, and the outcomes."""

    def counted(name):
        return sum(engine.metric(name) for engine in engines)

    queries, hits = counted("prefix_cache_queries_total"), counted("prefix_cache_hits_total")
    outcomes = send(gateway.url, groups_of_requests(), at_once=2)
    return (counted("prefix_cache_hits_total") - hits) / (counted("prefix_cache_queries_total") - queries), outcomes


def test_prompts_go_where_their_beginning_is_cached(engines, weir, tmp_path, figure):
    (tmp_path / "random.yaml").write_text(AT_RANDOM)
    at_random, outcomes_at_random = hits_in_engines(
        engines, weir({"routing": {"endpointPickerConfig": str(tmp_path / "random.yaml")}}))
    gateway = weir()
    by_cost, outcomes = hits_in_engines(engines, gateway)

    # Of each group the first request is computed, the others share all but their own words and less than a block.
    shared = SHARED_WORDS / (SHARED_WORDS + OWN_WORDS)
    possible = shared * (ROUNDS - 1) / ROUNDS
    ttft = [1000 * statistics.mean(outcome.ttft_s for outcome in some) for some in (outcomes_at_random, outcomes)]
    figure(
        f"prefix hits in the engines' counters: {by_cost:.2f} of all prompt tokens, {at_random:.2f} with random picks"
        f" (possible {possible:.2f}); mean TTFT {ttft[1]:.0f} ms, {ttft[0]:.0f} ms with random picks")
    assert by_cost >= 0.8 * possible
    # Random picks keep about half: each engine sees each group, and neither has room for all of them.
    assert by_cost >= 1.4 * at_random
    assert ttft[1] < ttft[0]
    # What the answers told Weir is what the engines counted.
    told = gateway.metric("weir_engine_cached_prompt_tokens_total") / gateway.metric("weir_engine_prompt_tokens_total")
    assert abs(told - by_cost) < 0.02


def per_endpoint(gateway, name):
    """The values of a metric of predictions, by endpoint and latency."""
    values = {}
    for line in get(gateway.admin + "/metrics").splitlines():
        if line.startswith(name + "{"):
            labels, value = line[len(name) + 1 :].rsplit("} ", 1)
            label = dict(part.split("=", 1) for part in labels.replace('"', "").split(","))
            values[label["endpoint"], label["latency"]] = float(value)
    return values


def error_of_best_constant(values):
    """The least mean relative error that one guess for all of them can have: that of their median, weighted by 1/value."""
    return min(statistics.mean(abs(guess - value) / value for value in values) for guess in values)


def test_predictions_are_measured_against_what_came(engines, weir, per_second, figure):
    gateway = weir()
    outcomes = send(gateway.url, chat_load(seed=1, seconds=400 / per_second, per_second=per_second))

    names = {engine.name for engine in engines}
    counts = per_endpoint(gateway, "weir_prediction_outcomes")
    assert set(counts) == {(name, latency) for name in names for latency in ("ttft", "tpot")}
    assert min(counts.values()) >= 100, counts
    mean, median, bias, coverage = (
        per_endpoint(gateway, f"weir_prediction_{kind}_ratio")
        for kind in ("mean_error", "median_error", "bias", "coverage"))
    constant = {
        "ttft": error_of_best_constant([outcome.ttft_s for outcome in outcomes]),
        "tpot": error_of_best_constant([outcome.tpot_s for outcome in outcomes]),
    }
    for place in sorted(counts):
        figure(
            f"{place[1].upper()} predictions at {place[0]}: MAPE {mean[place]:.2f}, median error {median[place]:.2f}, bias"
            f" {bias[place]:+.2f}, coverage of p90 {coverage[place]:.2f}, {counts[place]:.0f} outcomes;"
            f" MAPE of the best constant {constant[place[1]]:.2f}")
    for (name, latency), error in mean.items():
        # A prediction is worth something if it beats the best that anybody could say who looks at no request.
        if latency == "ttft":
            assert error < constant["ttft"], name
            assert 0.7 <= coverage[name, latency] <= 1, name
        else:
            # The time per token hardly differs between requests here, so that guess is good already.
            assert error < 2 * constant["tpot"] + 0.1, name


class Stream:
    """A client whose connection the test holds."""

    def __init__(self, gateway, prompt, output_tokens=3000):
        self.connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
        self.connection.request(
            "POST", "/v1/chat/completions", json.dumps(body(prompt, output_tokens)), {"content-type": "application/json"})

    def read_first_token(self):
        answer = self.connection.getresponse()
        while b'"content":' not in answer.readline():
            pass

    def leave(self):
        self.connection.sock.close()
        self.connection.close()


def test_clients_that_leave_free_the_engines(engines, weir, figure):
    gateway = weir()
    # 3000 tokens take half a minute at the least: who is not stopped is seen.
    streams = [Stream(gateway, text(random, 50)) for _ in range(6)]
    for stream in streams:
        stream.read_first_token()

    def running():
        return sum(engine.running for engine in engines)

    eventually(lambda: running() == 6, "all run in the engines")
    assert all(engine.running > 0 for engine in engines)
    for stream in streams:
        stream.leave()
    eventually(lambda: running() == 0, "nothing runs any more", timeout=5)
    assert gateway.metric("weir_aborted_total") == 6
    assert gateway.metric("weir_requests_in_flight") == 0

    # Nor does a prompt go on being computed whose client left before the first token.
    early = Stream(gateway, text(random, 3500), output_tokens=400)
    eventually(lambda: running() == 1, "the prompt is being computed")
    early.leave()
    eventually(lambda: running() == 0, "it is computed no more", timeout=5)
    figure("aborts: 6 streams and a prompt left by their clients; the engines' running gauges fell to 0 within 5 s")
