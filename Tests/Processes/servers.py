"""The brokers and the Prometheus that tests run against: the real programs, each with a port and a folder of its own."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from weir_processes import Process, free_port

SYSTEM_PACKAGES = "Scripts/setup --tests installs it (Debian's packages redis-server and prometheus)"
EMULATOR_PACKAGE = "`gcloud components install pubsub-emulator`, with Java and the Google Cloud CLI, brings it"


def missing(program, how_to_get_it):
    """Ends the test: nothing may be left out in CI; elsewhere the reason is told."""
    text = f"{program} is not installed: {how_to_get_it}"
    pytest.fail(text) if os.environ.get("CI") == "true" else pytest.skip(text)


class RedisServer(Process):
    """A redis-server that keeps everything in a file and can be started again where another has ended."""

    command = ("redis-server",)

    def __init__(self, folder, *arguments, port=None):
        if shutil.which("redis-server") is None:
            missing("redis-server", SYSTEM_PACKAGES)
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(exist_ok=True)
        self.port = port or free_port()
        super().__init__(
            "--port", self.port, "--bind", "127.0.0.1", "--dir", self.folder, "--save", "", "--appendonly", "yes",
            "--appendfsync", "everysec", *arguments,
        )
        self.wait_for("Ready to accept connections")
        self.url = f"redis://127.0.0.1:{self.port}"


def emulator_path():
    """Where Google's Pub/Sub emulator is; None if it is not here."""
    roots = ["/usr/lib/google-cloud-sdk"]
    if shutil.which("gcloud"):
        command = ["gcloud", "info", "--format=value(installation.sdk_root)"]
        roots.insert(0, subprocess.run(command, capture_output=True, text=True, timeout=60).stdout.strip())
    paths = [pathlib.Path(root) / "platform/pubsub-emulator/bin/cloud-pubsub-emulator" for root in roots]
    return next((path for path in paths if os.access(path, os.X_OK)), None)


class EmulatorDoor(Process):
    """The way of the programs under test to the emulator; see `emulator_door`."""

    command = (sys.executable, str(pathlib.Path(__file__).parent / "emulator_door.py"))

    def __init__(self, emulator):
        super().__init__("--emulator", emulator)
        self.host = self.wait_for("ready ").split()[-1]


class PubSubEmulator(Process):
    """Google's emulator of Pub/Sub. It keeps everything in memory.

    `client_environment` is for Google's client, `environment` for programs that may die.
    """

    def __init__(self):
        path = emulator_path()
        if path is None or shutil.which("java") is None:
            missing("Google's Pub/Sub emulator", EMULATOR_PACKAGE)
        self.command = (str(path),)
        self.host = f"127.0.0.1:{free_port()}"
        host, port = self.host.split(":")
        super().__init__(f"--host={host}", f"--port={port}", env={"JAVA_OPTS": "-Xmx512m"})
        self.wait_for("Server started")
        self.door = EmulatorDoor(self.host)
        self.client_environment = {"PUBSUB_EMULATOR_HOST": self.host}
        self.environment = {"PUBSUB_EMULATOR_HOST": self.door.host}

    def kill(self):
        self.door.kill()
        super().kill()


class PrometheusServer(Process):
    """A Prometheus that scrapes some targets (host:port) five times a second."""

    command = ("prometheus",)

    def __init__(self, folder, *targets):
        if shutil.which("prometheus") is None:
            missing("prometheus", SYSTEM_PACKAGES)
        folder = pathlib.Path(folder)
        folder.mkdir(exist_ok=True)
        (folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 200ms, scrape_timeout: 200ms}\n"
            f"scrape_configs: [{{job_name: pool, static_configs: [{{targets: {list(targets)}}}]}}]\n"
        )
        port = free_port()
        super().__init__(
            f"--config.file={folder}/prometheus.yml", f"--web.listen-address=127.0.0.1:{port}",
            f"--storage.tsdb.path={folder}/data",
        )
        self.wait_for("Server is ready to receive web requests")
        self.url = f"http://127.0.0.1:{port}"
