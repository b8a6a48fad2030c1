"""What a process and its children took."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from acreage.bench.process import RunFailed, run_measured
from acreage.bench.setup import answer, probe

SPIN = "import time\nend = time.process_time() + {seconds}\nwhile time.process_time() < end: pass\n"
HOLD = "import time\nheld = bytearray(b'x') * {size}\ntime.sleep({seconds})\n"


def test_processor_time_of_children_counts() -> None:
    child = [sys.executable, "-c", SPIN.format(seconds=0.4)]
    code = f"import subprocess; subprocess.run({child!r}, check=True); print('over')"
    measured = run_measured([sys.executable, "-c", code])
    assert measured.cpu_seconds >= 0.4
    assert measured.cpu_seconds == pytest.approx(measured.user_seconds + measured.system_seconds)
    assert measured.output == "over"


def test_memory_is_that_of_the_whole_tree_at_its_peak() -> None:
    hold = HOLD.format(size=80_000_000, seconds=1.5)
    child = [sys.executable, "-c", hold]
    code = f"import subprocess\nchild = subprocess.Popen({child!r})\n{hold}\nchild.wait()"
    measured = run_measured([sys.executable, "-c", code])
    assert 160e6 <= measured.peak_memory < 300e6


def test_a_command_that_fails_is_told_with_what_it_said() -> None:
    with pytest.raises(RunFailed, match=r"status 3: no such tile"):
        run_measured([sys.executable, "-c", "import sys; sys.stderr.write('no such tile'); sys.exit(3)"])


def test_writing_is_measured_on_a_file_of_the_whole_cube(tmp_path: Path) -> None:
    out = tmp_path / "cube.nc"
    told = answer(run_measured(probe("writing", shape=[2, 300, 40], bands=3, out=str(out))))
    assert out.stat().st_size >= 2 * 300 * 40 * 3 * 4
    assert told["cpu_seconds"] >= 0
