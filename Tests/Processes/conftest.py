import pytest

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
