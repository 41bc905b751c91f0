"""Peak memory of a process that couples many pixels; every process is a fresh one."""

import subprocess
import sys

import pytest

SCRIPT = """
import sys, torch
from otce.transport import balanced, semi_relaxed
n, m, dim, size, how = *map(int, sys.argv[1:4]), float(sys.argv[4]), sys.argv[5]
torch.set_num_threads(1)
generator = torch.Generator().manual_seed(0)
means = torch.randn(8, dim, generator=generator, dtype=torch.float64)
labels = torch.randint(0, 8, (n,), generator=generator)
sides = [size * (means[torch.randint(0, 8, (count,), generator=generator)]
                 + torch.randn(count, dim, generator=generator)) / dim**0.5 for count in (n, m)]
weights = [torch.full((count,), 1 / count, dtype=torch.float64) for count in (n, m)]
thin = torch.nn.functional.one_hot(labels, 8).double()
if how == "balanced":
    (found,) = balanced(*sides, *weights, thin, epsilons=[0.1], tolerance=1e-3, max_iterations=999)
else:
    found = semi_relaxed(*sides, *weights, thin, epsilon=0.1)
assert found.converged
# Not ru_maxrss, which remembers what the process was before it became this one.
status = open("/proc/self/status").read().split("VmHWM:")[1]
print(int(status.split()[0]) / 1024)
"""


def peak_mib(*arguments):
    command = [sys.executable, "-c", SCRIPT, *map(str, arguments)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(run.stdout)


@pytest.mark.parametrize("size", [1.0, 3.0, 10.0], ids=["dense", "half sparse", "sparse"])
def test_ten_thousand_pixels_a_side_fit_600_mib(size):
    assert peak_mib(10_000, 10_000, 32, size, "balanced") < 600


@pytest.mark.slow
@pytest.mark.parametrize("size", [1.0, 10.0], ids=["streamed", "sparse"])
def test_fifty_thousand_pixels_a_side_fit_2_gib(size):
    """The kernel would be 5 GB as half floats and 20 GB as doubles."""
    assert peak_mib(50_000, 50_000, 8, size, "balanced") < 2048


def test_a_hundred_thousand_targets_stream_within_1_gib():
    assert peak_mib(10_000, 100_000, 64, 1.0, "semi-relaxed") < 1024
