"""What clients do in a soak: tenants, sessions, shared prefixes, streams, bad requests, early departures, messages."""

import asyncio
import json
import random
import time

from soak_client import Asked, Client

WORDS = "river gate level flow stone reed mill wheel spring basin channel bank pool water lock sluice".split()
TENANTS = ["ada", "bert", "cleo", "dora", "emil"]
CHAT = "/v1/chat/completions"
# What goes wrong on purpose, and the status that it gets.
BAD = {
    "no JSON": (b'{"model": "sim", ', 400),
    "unknown model": (b'{"model":"nobody","messages":[{"role":"user","content":"x"}]}', 404),
    "no room for tokens": (b'{"model":"sim","max_tokens":0,"messages":[{"role":"user","content":"x"}]}', 400),
}


def prompt_tokens(messages):
    """As Weir and `weir sim` count them: a token for every four bytes of text, roles included."""
    return (sum(len(message["role"]) + len(message["content"]) for message in messages) + 3) // 4


class Traffic:
    """Clients of one gateway; everything they asked is kept in `asked`."""

    def __init__(self, url, seed, rate):
        self.random = random.Random(seed)
        self.client = Client(url)
        self.rate = rate
        self.asked = []
        self.tasks = set()
        self.prefixes = {tenant: [self.text(self.random.randrange(1000, 4000)) for _ in range(3)] for tenant in TENANTS}
        self.sessions = {}
        self.receipts_missing = []
        self.cancelled = set()

    def text(self, size):
        words = []
        while size > 0:
            word = self.random.choice(WORDS)
            words.append(word)
            size -= len(word) + 1
        return " ".join(words)

    def note(self, **facts):
        asked = Asked(len(self.asked), **facts)
        self.asked.append(asked)
        return asked

    async def run(self, seconds, burst_every):
        """Requests at random times, and now and then many at once."""
        end = time.monotonic() + seconds
        burst = time.monotonic() + burst_every * self.random.uniform(0.3, 0.7)
        while (now := time.monotonic()) < end:
            if now >= burst:
                burst += burst_every
                for _ in range(int(self.rate * 2)):
                    self.start(self.chat())
            self.start(self.one())
            await asyncio.sleep(self.random.expovariate(self.rate))
        while self.tasks:
            await asyncio.wait(self.tasks)
        self.client.close()

    def start(self, work):
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.ended)

    def ended(self, task):
        self.tasks.discard(task)
        task.result()

    def one(self):
        dice = self.random.random()
        if dice < 0.02:
            return self.bad()
        if dice < 0.05:
            return self.through_the_queue()
        return self.chat()

    async def bad(self):
        kind = self.random.choice(list(BAD))
        asked = self.note(kind="bad: " + kind)
        await self.client.ask(asked, "POST", CHAT, BAD[kind][0])

    def messages(self, tenant, session):
        messages = self.sessions.get(session) if session else None
        if messages is None or sum(len(message["content"]) for message in messages) > 12_000:
            messages = [{"role": "system", "content": self.random.choice(self.prefixes[tenant])}]
        messages = [*messages, {"role": "user", "content": self.text(self.random.randrange(50, 1500))}]
        if session:
            self.sessions[session] = messages
        return messages

    async def chat(self):
        dice = self.random.random
        tenant = self.random.choices(TENANTS, [8, 4, 2, 1, 1])[0]
        # Tenants and sessions that come once must not be remembered for ever.
        session = self.random.choices([f"{tenant}-{self.random.randrange(8)}", None, f"once-{len(self.asked)}"], [5, 4, 1])[0]
        messages = self.messages(tenant, session if session and session.startswith(tenant) else None)
        name = tenant if dice() < 0.9 else f"visitor-{len(self.asked)}"
        streams = dice() < 0.4
        limit = self.random.randrange(8, 64) if streams else self.random.randrange(16, 400)
        model = self.random.choices(["sim", "side", "alias"], [80, 10, 10])[0]
        headers = {"x-llm-d-inference-fairness-id": name} | ({"x-session-id": session} if session else {})
        priority = 0
        if dice() < 0.2:
            objective, priority = self.random.choice([("premium", 5), ("batch", -1)])
            headers["x-llm-d-inference-objective"] = objective
        if dice() < 0.2:
            headers["x-llm-d-slo-ttft-ms"] = str(self.random.choice([20, 100, 1000]))
            headers["x-llm-d-slo-tpot-ms"] = str(self.random.choice([2, 10]))
        if dice() < 0.05:
            headers["x-llm-d-inference-ttl"] = self.random.choice(["20ms", "500ms"])
        explained = dice() < 0.05
        if explained:
            headers["x-weir-explain"] = "true"
        leaves = None
        if dice() < 0.08:
            stages = ["in the body", "before the answer"] + (["stream"] * 2 if streams else [])
            leaves = self.random.choice(stages)
            if leaves == "stream":
                leaves = self.random.randrange(1, limit // 2 + 1)
        body = {"model": model, "max_tokens": limit, "messages": messages, "ignore_eos": dice() < 0.8}
        if streams:
            body |= {"stream": True} | ({"stream_options": {"include_usage": True}} if dice() < 0.8 else {})
        asked = self.note(
            tenant=name, priority=priority, model=model, leaves=leaves, limit=limit, prompt_tokens=prompt_tokens(messages))
        await self.client.ask(asked, "POST", CHAT, json.dumps(body).encode(), headers)
        if explained and asked.whole and asked.status == 200:
            await self.check_receipt(asked)

    async def check_receipt(self, asked):
        question = self.note(kind="receipt")
        data = await self.client.ask(question, "GET", f"/weir/v1/decisions/{asked.id}")
        told = json.loads(data) if question.status == 200 else None
        tokens = asked.usage["completion_tokens"] if asked.usage else asked.events
        if not told or not told["endpoint"] or told["outcome"]["output_tokens"] != tokens:
            self.receipts_missing.append((asked.id, question.status, told and told["outcome"], tokens))

    async def through_the_queue(self):
        """Enqueued or waited for over HTTP; some are asked after, some taken back."""
        mode = self.random.choice(["enqueue", "wait"])
        messages = [{"role": "user", "content": self.text(self.random.randrange(50, 1500))}]
        body = {"model": "sim", "max_tokens": self.random.randrange(8, 64), "messages": messages}
        asked = self.note(kind=mode)
        await self.client.ask(asked, "POST", CHAT, json.dumps(body).encode(), {"x-weir-mode": mode})
        if mode == "enqueue" and asked.queued and self.random.random() < 0.3:
            method = self.random.choice(["GET", "DELETE"])
            question = self.note(kind=method)
            await self.client.ask(question, method, f"/v1/requests/{asked.queued}")
            if method == "DELETE" and question.status == 200:
                self.cancelled.add(asked.queued)

    def lines(self, first, count):
        """Messages for `weir submit`: plain ones, batch lines, some that cannot be answered, some that are soon too late."""
        lines = []
        for number in range(first, first + count):
            shared = self.random.choice(self.prefixes[self.random.choice(TENANTS)])
            body = {
                "model": self.random.choice(["sim", "sim", "side"]),
                "max_tokens": self.random.randrange(8, 200) if self.random.random() > 0.02 else 0,
                "messages": [{"role": "user", "content": f"{shared} {self.text(200)}"}],
            }
            if self.random.random() < 0.5:
                lines.append({"custom_id": f"m{number}", "method": "POST", "url": CHAT, "body": body})
            else:
                late = self.random.random() < 0.03
                deadline = time.time() + (0.3 if late else 3600)
                lines.append({"id": f"m{number}", "deadline": deadline, "payload": body})
        return "".join(json.dumps(line) + "\n" for line in lines)
