import os
import uuid

import pytest

from model_server import ModelServer
from servers import PrometheusServer, PubSubEmulator, RedisServer
from sorted_set import Queue, connect
from weir_processes import BINARY, Gateway, Simulator

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


@pytest.fixture
def processes():
    """Starts processes that end with the test."""
    started = []

    def start(kind, *arguments, **options):
        process = kind(*arguments, **options)
        started.append(process)
        return process

    yield start
    for process in reversed(started):
        process.kill()


@pytest.fixture
def pool(processes, tmp_path):
    """One simulated model server behind a gateway."""
    simulator = processes(Simulator, 1)
    gateway = processes(Gateway, simulator.urls, tmp_path)
    return simulator, gateway


@pytest.fixture
def servers(processes):
    """Starts model servers that end with the test."""
    return lambda *arguments, **options: processes(ModelServer, *arguments, **options)


@pytest.fixture
def redis_server(processes, tmp_path):
    return processes(RedisServer, tmp_path / "redis")


@pytest.fixture
def queue(redis_server):
    """The queue with the usual names in a Redis server of its own."""
    with connect(redis_server.url) as client:
        yield Queue(client)


@pytest.fixture(scope="session")
def pubsub_emulator():
    """Google's emulator, one for all tests. Google's client finds it by the environment of this process."""
    emulator = PubSubEmulator()
    os.environ.update(emulator.client_environment)
    yield emulator
    for name in emulator.client_environment:
        del os.environ[name]
    emulator.kill()


@pytest.fixture
def project(pubsub_emulator):
    """A project of its own in the emulator."""
    from topics import Project

    project = Project(f"test-{uuid.uuid4().hex[:12]}", pubsub_emulator.environment)
    yield project
    project.close()


@pytest.fixture
def prometheus_server(processes, tmp_path):
    """Starts a Prometheus that scrapes the targets it is given."""
    return lambda *targets: processes(PrometheusServer, tmp_path / "prometheus", *targets)
