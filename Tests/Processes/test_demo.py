"""The demo tells its story in time, to people and to logs."""

import re
import time

from weir_processes import run


def test_the_demo_shows_all_three_ways_and_ends_in_time(tmp_path):
    begun = time.monotonic()
    story = run("demo", "--report", tmp_path / "report.html", cwd=tmp_path, timeout=240)
    assert time.monotonic() - begun < 180
    rows = {line.strip().split("  ")[0]: line for line in story.splitlines() if re.search(r"\d %", line)}
    assert set(rows) == {"real-time alone", "+ direct push", "+ through Weir's queue"}
    through = rows["+ through Weir's queue"].split()
    direct = rows["+ direct push"].split()
    submitted, served, dropped = (int(cell) for cell in through[4:7])
    assert served == submitted and dropped == 0
    assert int(direct[5]) > 0, "the direct push dropped nothing, so the story shows nothing"
    assert "curl http" in story
    page = (tmp_path / "report.html").read_text()
    assert "<svg" in page and "http://" not in page.replace("http://www.w3.org", "")
