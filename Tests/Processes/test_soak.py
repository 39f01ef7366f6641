"""The accounting of the soak, in seconds: what clients saw, what Weir counted and what the model servers counted agree."""

import json
import os
import subprocess

from weir_processes import BINARY, ROOT


def test_three_ledgers_of_the_same_requests_agree(tmp_path, figure):
    report = tmp_path / "soak.json"
    done = subprocess.run(
        [ROOT / "Scripts/soak", "--quick", "--json", report], capture_output=True, text=True, timeout=180,
        env={**os.environ, "WEIR_BINARY": str(BINARY)},
    )
    assert report.exists(), done.stderr
    soak = json.loads(report.read_text())
    failed = [f"{row['check']}: {row['value']}" for row in soak["checks"] if not row["holds"]]
    assert not failed, "\n".join(failed)
    assert done.returncode == 0
    # The run has to have seen what it is about.
    assert soak["messages"] > 100
    assert soak["outcomes"]["200"] > 100 and soak["outcomes"]["left"] > 0
    figure(f"soak: {soak['requests']} requests, {soak['messages']} messages, {len(soak['checks'])} comparisons hold")
