import pytest

from weir_processes import BINARY, Gateway, Simulator


def pytest_configure(config):
    if not BINARY.exists():
        pytest.exit(f"{BINARY} is missing: run `make build` first", returncode=2)


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
