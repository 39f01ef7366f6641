"""The demo tells its story in time, to people and to logs, and leaves a gateway that works."""

import re
import subprocess
import sys
import time

from weir_processes import Process


def test_the_demo_shows_all_three_ways_in_time_and_what_it_says_to_try_works(processes, tmp_path):
    begun = time.monotonic()
    demo = processes(Process, "demo", "--keep-running", "--report", tmp_path / "report.html", cwd=tmp_path)
    demo.wait_for("Stop with Ctrl-C", timeout=240)
    assert time.monotonic() - begun < 180

    rows = {line.strip().split("  ")[0]: line for line in demo.lines if re.search(r"\d %", line)}
    assert set(rows) == {"real-time alone", "+ direct push", "+ Weir's queue"}
    through = rows["+ Weir's queue"].split()
    direct = rows["+ direct push"].split()
    submitted, served, dropped = (int(cell) for cell in through[3:6])
    assert served == submitted and dropped == 0
    assert int(direct[5]) > 0, "the direct push dropped nothing, so the story shows nothing"
    page = (tmp_path / "report.html").read_text()
    assert "<svg" in page and "http://" not in page.replace("http://www.w3.org", "")

    said = "\n".join(demo.lines)
    curl = re.search(r"curl http.*\\\n.*\}'", said).group(0)
    answer = subprocess.run(["bash", "-c", curl], capture_output=True, text=True, timeout=60)
    assert "data: [DONE]" in answer.stdout, answer
    python = re.search(r"python3 -c '(.*?)'\n", said, re.S).group(1)
    answer = subprocess.run([sys.executable, "-c", python], capture_output=True, text=True, timeout=60)
    assert answer.returncode == 0 and answer.stdout.strip(), answer
    assert demo.stop() == 0
