"""What llm-d-async publishes for queues in Redis, spoken by a plain client: producers of both vintages, and a consumer.

The older producer (up to v0.9) puts the request into an envelope, notes its token as the current one of its id, and adds it
to the sorted set with its deadline in whole seconds as the score. The newer one (from v0.10) also counts the submissions per
deadline, which go into the fraction of the score, and notes when it submitted. Results are pushed onto a list.
"""

import json
import secrets
import time

import redis

VINTAGES = ["older", "newer"]
CHAT = "/v1/chat/completions"
# What a decoder and encoder in between would change: spaces, order, numbers beyond 2^53, escapes, repeated keys.
AWKWARD_PAYLOAD = (
    '{ "z":1, "model" : "sim","seed":9007199254740993,"x":1.0e+02, "a":"<&>\\u00e9\\/", "messages":'
    '[{"role":"user","content":"[[awkward]] naïve 🙂"}],"max_tokens":16 , "a":2}'
)
MARKER_TTL_S = 604_800
LARGEST_SEQUENCE = (1 << 21) - 1
CANCEL = """
local token = redis.call('GET', KEYS[1])
if not token then return 0 end
redis.call('SET', KEYS[2], token, 'EX', ARGV[1])
return 1
"""


def connect(url, **options):
    """A client of a server; it waits for results longer than it would by itself."""
    return redis.Redis.from_url(url, decode_responses=True, socket_timeout=60, **options)


def dumps(value):
    return json.dumps(value, separators=(",", ":"))


def chat(name, **fields):
    return {"model": "sim", "max_tokens": 16, "messages": [{"role": "user", "content": f"[[{name}]]"}], **fields}


def message(name, window=600, payload=None, **fields):
    """A request in the public format. A payload that is a text is taken as JSON that is written already."""
    now = int(time.time())
    payload = chat(name) if payload is None else payload
    return {"id": name, "created": now, "deadline": now + window, "payload": payload, "endpoint": CHAT, **fields}


def public_text(request):
    """The request as its JSON, members in the published order."""
    head = {key: request[key] for key in ("id", "created", "deadline")}
    tail = {key: value for key, value in request.items() if key not in (*head, "payload")}
    payload = request["payload"]
    text = payload if isinstance(payload, str) else dumps(payload)
    return f'{dumps(head)[:-1]},"payload":{text}{"," if tail else ""}{dumps(tail)[1:]}'


class Queue:
    """One queue in a Redis server, as its producers and consumers see it."""

    def __init__(self, client, name="request-sortedset", results="result-list"):
        self.client = client
        self.name = name
        self.results_name = results
        self._cancel = client.register_script(CANCEL)

    def submit(self, requests, vintage="newer"):
        """Submits requests in one transaction; their tokens by id."""
        tokens = {request["id"]: secrets.token_hex(16) for request in requests}
        sequences = self._sequences(requests) if vintage == "newer" else [0] * len(requests)
        with self.client.pipeline(transaction=True) as pipeline:
            for request, sequence in zip(requests, sequences):
                identity, token = request["id"], tokens[request["id"]]
                routing = {
                    "request_token": token, "request_queue_name": self.name,
                    "result_queue_name": request.get("result_queue_name", self.results_name),
                }
                kind = "redis" if "result_queue_name" in request else "plain"
                if vintage == "newer":
                    routing |= {"enqueued_at_ms": int(time.time() * 1000), "enqueue_seq": sequence}
                member = f'{{"internal":{dumps(routing)},"request_kind":"{kind}","data":{public_text(request)}}}'
                score = request["deadline"] + min(sequence, LARGEST_SEQUENCE) / (LARGEST_SEQUENCE + 1)
                pipeline.delete(f"request-cancel:{identity}")
                pipeline.set(f"request-active:{identity}", token, ex=max(1, int(request["deadline"] - time.time())))
                pipeline.zadd(self.name, {member: score})
            pipeline.execute()
        return tokens

    def _sequences(self, requests):
        with self.client.pipeline(transaction=False) as pipeline:
            for request in requests:
                counter = f"request-seq:{self.name}:{request['deadline']}"
                pipeline.incr(counter)
                pipeline.expireat(counter, request["deadline"] + 3600)
            return pipeline.execute()[::2]

    def cancel(self, identity):
        """Asks for a request to be taken back; whether it is known."""
        keys = [f"request-active:{identity}", f"request-cancel:{identity}"]
        return bool(self._cancel(keys=keys, args=[MARKER_TTL_S]))

    def receive(self, timeout=20, name=None):
        """The oldest result, taken from the list."""
        found = self.client.brpop(name or self.results_name, timeout)
        assert found, f"no result in {name or self.results_name} within {timeout} s"
        return json.loads(found[1])

    def receive_all(self, count, timeout=20, name=None):
        """So many results, by id."""
        found = [self.receive(timeout, name) for _ in range(count)]
        assert len({result["id"] for result in found}) == count, "a result came twice"
        return {result["id"]: result for result in found}

    def results(self):
        """All results in the list, the oldest first; they stay there."""
        return [json.loads(entry) for entry in reversed(self.client.lrange(self.results_name, 0, -1))]

    def dead_letters(self):
        return [json.loads(entry) for entry in reversed(self.client.lrange(f"{self.name}:dead-letter", 0, -1))]

    def counts(self):
        """How many messages are where: waiting, to be retried, claimed by somebody."""
        with self.client.pipeline(transaction=True) as pipeline:
            pipeline.zcard(self.name).zcard("retry-sortedset").hlen(f"{self.name}:claimed")
            pipeline.hlen(f"{self.name}:claim-owners").zcard(f"{self.name}:claims-idx")
            waiting, retried, claimed, owners, leases = pipeline.execute()
        assert claimed == owners == leases, (claimed, owners, leases)
        return waiting, retried, claimed
