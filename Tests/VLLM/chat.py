"""Users: requests whose answers are streamed, sent at given moments, and what they see of them."""

import asyncio
import dataclasses
import json
import math
import random
import time

import aiohttp

from engines import MODEL

WORDS = (
    "import return self value name type class raise error function list string result index test path file code line data "
    "object default method number module object order first given new read write call process thread state event item"
).split()


@dataclasses.dataclass(frozen=True)
class Request:
    """What a user sends: the moment, the beginning that others share, its own words, and how much it wants."""

    at_s: float
    prompt: str
    output_tokens: int


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a user saw."""

    ttft_s: float
    tpot_s: float
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int


def text(generator, words):
    """So many words, a token each, more or less."""
    return " ".join(generator.choice(WORDS) for _ in range(words))


def chat_load(seed, seconds, per_second, shortest=40, longest=1200):
    """Arrivals at random; prompts of very different lengths, equally many in each octave; short answers.

    Moments and lengths follow from the seed; the words are new each time, so that no prompt is cached.
    """
    generator, words = random.Random(seed), random.Random()
    requests = []
    at = generator.expovariate(per_second)
    while at < seconds:
        length = round(shortest * (longest / shortest) ** generator.random())
        requests.append(Request(at, text(words, length), generator.randint(16, 48)))
        at += generator.expovariate(per_second)
    return requests


def body(prompt, output_tokens, **more):
    return {
        "model": MODEL, "messages": [{"role": "user", "content": prompt}], "max_tokens": output_tokens, "ignore_eos": True,
        "stream": True, "stream_options": {"include_usage": True}, **more,
    }


async def _one(session, url, request, begin):
    await asyncio.sleep(max(0, begin + request.at_s - time.monotonic()))
    sent = time.monotonic()
    first = last = usage = None
    async with session.post(f"{url}/v1/chat/completions", json=body(request.prompt, request.output_tokens)) as answer:
        assert answer.status == 200, (answer.status, await answer.text())
        async for line in answer.content:
            if not line.startswith(b"data: {"):
                continue
            event = json.loads(line[6:])
            usage = event.get("usage") or usage
            if any(choice["delta"].get("content") for choice in event["choices"]):
                last = time.monotonic()
                first = first or last
    assert first is not None and usage is not None, "an answer without tokens"
    details = usage.get("prompt_tokens_details") or {}
    generated = usage["completion_tokens"]
    return Outcome(
        first - sent, (last - first) / max(1, generated - 1), usage["prompt_tokens"], details.get("cached_tokens") or 0,
        generated)


async def _all(url, requests, at_once):
    room = asyncio.Semaphore(at_once)

    async def with_room(request):
        async with room:
            return await _one(session, url, request, begin)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        begin = time.monotonic()
        return await asyncio.gather(*(with_room(request) for request in requests))


def send(url, requests, at_once=1000):
    """Sends all requests at their moments, and of those whose moment has come so many at once; what became of each."""
    return asyncio.run(_all(url, requests, at_once))


def percentile(values, share):
    """The smallest value that so many of a hundred do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share / 100) - 1)] if ordered else float("nan")
