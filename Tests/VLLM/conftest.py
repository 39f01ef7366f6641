"""Starts two vLLM servers for all tests, and a Weir before them for each."""

import dataclasses
import json
import pathlib
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "Processes"))

from chat import chat_load, send  # noqa: E402
from engines import MODEL, Engine, wait_until_idle  # noqa: E402
from model_maker import make_model  # noqa: E402
from weir_processes import BINARY, Gateway  # noqa: E402

FIGURES = pytest.StashKey[list]()


def pytest_configure(config):
    config.stash[FIGURES] = []
    if not BINARY.exists():
        pytest.exit(f"{BINARY} is missing: run `make build` first", returncode=2)


def pytest_terminal_summary(terminalreporter, config):
    if config.stash[FIGURES]:
        terminalreporter.section("figures")
        for line in config.stash[FIGURES]:
            terminalreporter.write_line(line)


@pytest.fixture
def figure(request):
    """Notes what was measured; it is printed at the end."""
    return request.config.stash[FIGURES].append


@pytest.fixture(scope="session")
def both(tmp_path_factory):
    """Two servers with the same model, the same ones for all tests."""
    model = make_model(tmp_path_factory.mktemp("model"))
    engines = [Engine(model), Engine(model)]
    try:
        for engine in engines:
            engine.wait_until_ready()
        yield engines
    finally:
        for engine in engines:
            engine.kill()


@pytest.fixture(scope="session")
def per_second(both):
    """Chats per second that take about a third of what both servers can do, on whatever machine this is."""
    sample = [dataclasses.replace(request, at_s=0) for request in chat_load(seed=7, seconds=1000, per_second=1)[:24]]
    send(both[0].url, sample[:4], at_once=1)
    begun = time.monotonic()
    send(both[0].url, sample, at_once=1)
    # One after the other they leave most of a step unused, so this is on the safe side.
    return len(both) / 3 * len(sample) / (time.monotonic() - begun)


@pytest.fixture
def engines(both):
    """The servers, with nothing to do."""
    wait_until_idle(both)
    return both


@pytest.fixture
def weir(engines, tmp_path):
    """Starts a Weir in front of the servers; `routing` and what else a pool may say, and more of the configuration."""
    started = []

    def start(pool=None, endpoint=lambda engine: {}, **settings):
        configuration = {
            "gateway": {"listen": "127.0.0.1:0"}, "admin": {"listen": "127.0.0.1:0"},
            "pools": [{
                "name": "main", "models": [MODEL], "scrape": {"interval": "200ms"},
                "endpoints": [{"url": engine.url, "engine": "vllm", **endpoint(engine)} for engine in engines],
                **(pool or {}),
            }],
            **settings,
        }
        path = tmp_path / f"weir-{len(started)}.yaml"
        path.write_text(json.dumps(configuration, indent=1))
        gateway = Gateway(config=path)
        started.append(gateway)
        return gateway

    yield start
    for gateway in reversed(started):
        gateway.kill()
