"""The comparison of maps says so when its data are not at hand."""

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_absent_data_are_told_and_no_failure(tmp_path):
    command = [sys.executable, EXAMPLES / "maps.py", tmp_path / "absent.pth", "--data", tmp_path]
    run = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=EXAMPLES.parent,
        env={"PYTHONPATH": str(EXAMPLES.parent), "COLUMNS": "400"},
    )
    assert run.returncode == 0, run.stderr
    assert "skipped:" in run.stdout
    assert "absent.pth" in run.stdout.replace("\n", "")
