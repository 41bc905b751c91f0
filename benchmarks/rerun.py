"""Seconds of a run that finds everything in its store, beside the run that filled it.

python benchmarks/rerun.py [--repeats 3]
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cyclopts

DEMO = Path(__file__).parent.parent / "examples/demo.yaml"


def seconds(store: str) -> float:
    started_s = time.perf_counter()
    command = [sys.executable, "-m", "flows.cli", "run", str(DEMO), "--set"]
    subprocess.run([*command, f"execution.store={store}"], check=True, capture_output=True)
    return time.perf_counter() - started_s


def main(*, repeats: int = 3) -> None:
    """Measure and print.

    Args:
        repeats: no-op runs; their median is shown.
    """
    with tempfile.TemporaryDirectory() as store:
        first_s = seconds(store)
        again_s = statistics.median(seconds(store) for _ in range(repeats))
    print(f"demo: first run {first_s:.1f} s, identical run {again_s:.1f} s (median of {repeats})")


if __name__ == "__main__":
    cyclopts.run(main)
