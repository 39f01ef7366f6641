"""An engine's KV event publisher, on real libzmq sockets: PUB and replay ROUTER, as vLLM's are, led by a test.

Arguments: the PUB port, the replay port (0: none), the control port, and options as a JSON object. The test connects to
the control port and sends one JSON object per line; each is answered by one line.
"""

import json
import socket
import sys
import time
from collections import deque
from typing import Any

import msgspec
import zmq


class StoredArray(msgspec.Struct, array_like=True, omit_defaults=True, tag="BlockStored"):
    block_hashes: list[Any]
    parent_block_hash: Any
    token_ids: list[int]
    block_size: int
    lora_id: int | None
    medium: str | None
    lora_name: str | None
    extra_keys: list[Any] | None = None
    group_idx: int | None = None
    kv_cache_spec_kind: str | None = None
    kv_cache_spec_sliding_window: int | None = None


class RemovedArray(msgspec.Struct, array_like=True, omit_defaults=True, tag="BlockRemoved"):
    block_hashes: list[Any]
    medium: str | None
    group_idx: int | None = None


class ClearedArray(msgspec.Struct, array_like=True, omit_defaults=True, tag="AllBlocksCleared"):
    pass


class BatchArray(msgspec.Struct, array_like=True, omit_defaults=True):
    ts: float
    events: list[Any]
    data_parallel_rank: int | None = None


class StoredMap(msgspec.Struct, omit_defaults=True, tag="BlockStored"):
    block_hashes: list[Any]
    parent_block_hash: Any
    token_ids: list[int]
    block_size: int
    lora_id: int | None
    medium: str | None
    lora_name: str | None
    extra_keys: list[Any] | None = None
    group_idx: int | None = None
    kv_cache_spec_kind: str | None = None


class RemovedMap(msgspec.Struct, omit_defaults=True, tag="BlockRemoved"):
    block_hashes: list[Any]
    medium: str | None
    group_idx: int | None = None


class ClearedMap(msgspec.Struct, omit_defaults=True, tag="AllBlocksCleared"):
    pass


class BatchMap(msgspec.Struct, omit_defaults=True):
    ts: float
    events: list[Any]
    data_parallel_rank: int | None = None


FORMS = {
    "array": (BatchArray, StoredArray, RemovedArray, ClearedArray),
    "map": (BatchMap, StoredMap, RemovedMap, ClearedMap),
}
END = (-1).to_bytes(8, "big", signed=True)


class Publisher:
    def __init__(self, port: int, replay_port: int, options: dict[str, Any]) -> None:
        self.options = options
        context = zmq.Context.instance()
        self.pub = context.socket(zmq.PUB)
        self.pub.set_hwm(options.get("hwm", 100_000))
        if options.get("heartbeat_ms"):
            self.pub.setsockopt(zmq.HEARTBEAT_IVL, options["heartbeat_ms"])
            self.pub.setsockopt(zmq.HEARTBEAT_TIMEOUT, options["heartbeat_ms"] * 20)
        self.pub.bind(f"tcp://127.0.0.1:{port}")
        self.replay = None
        if replay_port:
            self.replay = context.socket(zmq.ROUTER)
            self.replay.bind(f"tcp://127.0.0.1:{replay_port}")
        self.topic = options.get("topic", "kv@pod@model").encode()
        self.buffer: deque[tuple[int, bytes]] = deque(maxlen=options.get("buffer_steps", 10_000))
        self.sequence = 0
        self.encoder = msgspec.msgpack.Encoder()
        self.replays = 0

    def name(self, block: int | None) -> Any:
        """A block's hash: an integer, or the 32 bytes of a digest."""
        if block is None or not self.options.get("digests"):
            return block
        return b"\x07" * 24 + block.to_bytes(8, "big")

    def encode(self, events: list[dict[str, Any]]) -> bytes:
        batch, stored, removed, cleared = FORMS[self.options.get("form", "array")]
        all_events: list[Any] = []
        for event in events:
            if "stored" in event:
                size = event["size"]
                all_events.append(
                    stored(
                        [self.name(block) for block in event["stored"]],
                        self.name(event.get("parent")),
                        event["tokens"],
                        size,
                        None,
                        event.get("medium", "GPU"),
                        event.get("lora"),
                        event.get("extra"),
                        event.get("group"),
                        event.get("kind"),
                    )
                )
            elif "removed" in event:
                blocks = [self.name(block) for block in event["removed"]]
                all_events.append(removed(blocks, event.get("medium", "GPU"), event.get("group")))
            else:
                all_events.append(cleared())
        return self.encoder.encode(batch(time.time(), all_events, 0))

    def publish(self, events: list[dict[str, Any]], lose: bool) -> None:
        payload = self.encode(events)
        number = self.sequence.to_bytes(8, "big")
        if not lose:
            self.pub.send_multipart((self.topic, number, payload))
        self.buffer.append((self.sequence, payload))
        self.sequence += 1

    def serve_replay(self) -> None:
        frames = self.replay.recv_multipart()
        if len(frames) != 3:
            return
        self.replays += 1
        client, _, start = frames
        topic = (self.topic,) if self.options.get("replay_with_topic") else ()
        for sequence, payload in self.buffer:
            if sequence >= int.from_bytes(start, "big"):
                self.replay.send_multipart((client, b"", *topic, sequence.to_bytes(8, "big"), payload))
        end = (b"", END, b"") if topic else (END, b"")
        self.replay.send_multipart((client, b"", *end))

    def command(self, line: bytes) -> dict[str, Any]:
        command = json.loads(line)
        if "batches" in command:
            for events in command["batches"]:
                self.publish(events, command.get("lose", False))
        elif "raw" in command:
            self.pub.send_multipart([bytes.fromhex(part) for part in command["raw"]])
        return {"sequence": self.sequence, "replays": self.replays}

    def run(self, control_port: int) -> None:
        listener = socket.create_server(("127.0.0.1", control_port))
        print("ready", flush=True)
        control = listener.accept()[0]
        poller = zmq.Poller()
        poller.register(control, zmq.POLLIN)
        if self.replay is not None:
            poller.register(self.replay, zmq.POLLIN)
        rest = b""
        while True:
            ready = dict(poller.poll())
            if self.replay in ready:
                self.serve_replay()
            if control.fileno() in ready:
                data = control.recv(1 << 20)
                if not data:
                    return
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    control.sendall(json.dumps(self.command(line)).encode() + b"\n")


if __name__ == "__main__":
    Publisher(int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[4])).run(int(sys.argv[3]))
