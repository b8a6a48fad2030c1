"""A UDF that is wrong, dies, loops, hogs or floods: its log, a clear error, and a runner that goes on."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from collections.abc import Callable

import numpy as np
import psutil
import pytest
from tests.udf.examples import processes_with, small_cube, udf

from acreage.core.udf import LabelledArray, UdfCode
from acreage.udf import errors
from acreage.udf.dependencies import declared_dependencies
from acreage.udf.runner import ProcessUdfRunner

MakeRunner = Callable[..., ProcessUdfRunner]
MIB = 2**20


def log_of(caught: pytest.ExceptionInfo[errors.UdfError]) -> str:
    return "\n".join(caught.value.log)


def test_an_exception_names_its_line_and_keeps_the_log(runner: ProcessUdfRunner) -> None:
    code = udf(
        """
        print("before")
        scale = 1 / context["zero"]
        return cube * scale
        """
    )
    with pytest.raises(errors.UdfRaised) as caught:
        runner.run(code, small_cube(), {"zero": 0})
    assert "ZeroDivisionError: division by zero (udf.py, line 5" in caught.value.message
    assert 'scale = 1 / context["zero"]' in caught.value.message
    assert caught.value.log[0] == "before"
    assert "worker.py" not in log_of(caught)


def test_a_librarys_exception_shows_the_udfs_frames_only(runner: ProcessUdfRunner) -> None:
    code = udf(
        "try:\n    cube.sel(bands='B99')\nexcept KeyError as e:\n    raise ValueError('no B99') from e"
    )
    with pytest.raises(errors.UdfRaised, match="ValueError: no B99") as caught:
        runner.run(code, small_cube(), {})
    assert "cube.sel(bands='B99')" in log_of(caught)
    assert "site-packages" not in log_of(caught)


def test_a_failed_call_leaves_the_worker_warm(make_runner: MakeRunner) -> None:
    runner = make_runner()
    code = udf(
        "calls.append(1)\nif context['fail']: raise RuntimeError('no')\nreturn cube * 0 + len(calls)",
        before="calls = []",
    )
    ones = LabelledArray(np.ones(1), ("x",))
    with pytest.raises(errors.UdfRaised):
        runner.run(code, ones, {"fail": True})
    assert runner.run(code, ones, {"fail": False}).array.values[0] == 2


@pytest.mark.parametrize(
    ("source", "kind", "message"),
    [
        ("def apply_datacube(cube:\n", errors.UdfSourceInvalid, "not valid Python.*udf.py, line 1"),
        ("x = '\0'", errors.UdfSourceInvalid, "not valid Python"),
        (
            "def compute(cube): return cube",
            errors.UdfSourceInvalid,
            "no function to call; it defines compute",
        ),
        ("", errors.UdfSourceInvalid, "it defines none"),
        ("def apply_datacube(): pass", errors.UdfSourceInvalid, "takes no arguments"),
        ("def apply_datacube(cube: int): pass", errors.UdfSourceInvalid, "takes a int, not a data cube"),
        ("import no_such_package", errors.UdfDependencyMissing, "No module named 'no_such_package'.*line 1"),
        ("import acreage", errors.UdfDependencyMissing, "acreage cannot be imported in a UDF"),
        ("import acreage.core.udf", errors.UdfDependencyMissing, "acreage cannot be imported in a UDF"),
        ("\nraise ValueError('at load')", errors.UdfRaised, "ValueError: at load .udf.py, line 2"),
        ("import sys; sys.exit(3)", errors.UdfRaised, "SystemExit: 3"),
        (
            '# /// script\n# dependencies = ["no-such-package>=2", "numpy>=1", "xarray<1"]\n# ///\n',
            errors.UdfDependencyMissing,
            r"no-such-package>=2 \(not installed\); xarray<1 \(here is ",
        ),
        ("# /// script\n# dependencies = [\n# ///\n", errors.UdfSourceInvalid, "is not TOML"),
        ('# /// script\n# dependencies = ["a b"]\n# ///\n', errors.UdfSourceInvalid, "is not a requirement"),
        ("# /// script\n# dependencies = 3\n# ///\n", errors.UdfSourceInvalid, "not a list of strings"),
        (
            "# /// script\n# x = 1\n# ///\n\n# /// script\n# x = 1\n# ///\n",
            errors.UdfSourceInvalid,
            "2 '# ///",
        ),
    ],
)
def test_a_source_that_cannot_be_loaded_is_refused(
    make_runner: MakeRunner, source: str, kind: type[errors.UdfError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        make_runner().probe(UdfCode(source))


def test_a_source_that_cannot_be_loaded_takes_no_place(make_runner: MakeRunner) -> None:
    runner = make_runner()
    for source in ("import no_such_package", '# /// script\n# dependencies = ["none"]\n# ///\n'):
        with pytest.raises(errors.UdfDependencyMissing):
            runner.run(UdfCode(source), small_cube(), {})
    assert runner.run(udf("return cube"), small_cube(), {}).array.sizes["x"] == 3


def test_declared_dependencies_are_read_as_pep_723_has_them() -> None:
    source = '#!/usr/bin/python\n# /// script\n# dependencies = [\n#   "a>=1",\n#\n#   "b",\n# ]\n# ///\n'
    assert declared_dependencies(source) == ("a>=1", "b")
    assert declared_dependencies(source.replace("\n", "\r\n")) == ("a>=1", "b")
    assert declared_dependencies("# /// other\n# x = 1\n# ///\n") == ()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("import os, signal; print('last words'); os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("import os, sys; print('last words'); os.abort()", "was killed by SIGABRT"),
    ],
)
def test_a_process_that_dies_is_told_with_its_log_and_replaced(
    make_runner: MakeRunner, body: str, message: str
) -> None:
    runner = make_runner()
    with pytest.raises(errors.UdfProcessDied, match=message) as caught:
        runner.run(udf(body), small_cube(), {})
    assert caught.value.log[0] == "last words"
    assert runner.run(udf("return cube"), small_cube(), {}).array.sizes["x"] == 3


def test_an_endless_udf_is_stopped_and_the_runner_goes_on(make_runner: MakeRunner) -> None:
    runner = make_runner(timeout_s=10)
    with pytest.raises(errors.UdfTimeout, match="longer than 10 s"):
        runner.run(udf("import time; time.sleep(600)"), small_cube(), {})
    assert runner.run(udf("return cube"), small_cube(), {}).array.sizes["x"] == 3


def test_an_endless_load_is_stopped(make_runner: MakeRunner) -> None:
    with pytest.raises(errors.UdfTimeout):
        make_runner(timeout_s=2).run(udf("return cube", before="while True: pass"), small_cube(), {})


@pytest.mark.parametrize("isolation", ["none", "auto"])
def test_what_a_udf_started_ends_with_it(make_runner: MakeRunner, isolation: str) -> None:
    mark = f"udf-{uuid.uuid4()}"
    body = f"""
        import subprocess, sys, time
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", "{mark}"])
        time.sleep(600)
        """
    with pytest.raises(errors.UdfTimeout):
        make_runner(timeout_s=3, isolation=isolation).run(udf(body), small_cube(), {})
    deadline = time.monotonic() + 20
    while processes_with(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not processes_with(mark)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_cpu_time_is_limited_per_call(make_runner: MakeRunner) -> None:
    runner = make_runner(cpu_seconds=3.0, timeout_s=120)
    code = udf(
        """
        import time
        end = time.process_time() + context["cpu"]
        while time.process_time() < end: pass
        return cube
        """
    )
    for _ in range(2):
        runner.run(code, small_cube(), {"cpu": 1.8})  # together over the limit, each below it
    with pytest.raises(errors.UdfTimeout, match="more than 3 s of CPU"):
        runner.run(code, small_cube(), {"cpu": 600})


def test_memory_is_limited_and_the_error_names_the_line(make_runner: MakeRunner) -> None:
    runner = make_runner(memory_bytes=400 * MIB)
    code = udf("import numpy\nhog = numpy.ones(context['mib'] * 2**17)\nreturn cube")
    assert runner.run(code, small_cube(), {"mib": 50}).array.sizes["x"] == 3
    with pytest.raises(errors.UdfMemoryExceeded, match=r"line 5.*hog = numpy\.ones"):
        runner.run(code, small_cube(), {"mib": 600})
    assert runner.run(code, small_cube(), {"mib": 50}).array.sizes["x"] == 3


def test_memory_of_many_processes_is_limited_together(make_runner: MakeRunner) -> None:
    body = """
        import subprocess, sys, time
        hog = "import time; x = bytearray(200 * 2**20); time.sleep(600)"
        for _ in range(4): subprocess.Popen([sys.executable, "-c", hog])
        time.sleep(600)
        """
    with pytest.raises(errors.UdfMemoryExceeded, match="was stopped"):
        make_runner(memory_bytes=500 * MIB, timeout_s=120).run(udf(body), small_cube(), {})


def test_output_is_captured_in_order_with_levels(runner: ProcessUdfRunner) -> None:
    body = """
        import ctypes, logging, os, subprocess, sys, warnings
        from openeo.udf import inspect
        print("printed")
        print("to stderr", file=sys.stderr)
        os.write(1, b"by descriptor\\n")
        ctypes.CDLL(None).puts(b"by C")
        ctypes.CDLL(None).fflush(None)
        subprocess.run([sys.executable, "-c", "print('by a program')"])
        logging.getLogger("mine").error("two\\nlines")
        inspect([1, 2], message="seen", level="debug")
        warnings.warn("take care")
        return cube
        """
    log = [(line.level, line.message) for line in runner.run(udf(body), small_cube(), {}).log]
    assert log[:8] == [
        ("info", "printed"),
        ("info", "to stderr"),
        ("info", "by descriptor"),
        ("info", "by C"),
        ("info", "by a program"),
        ("error", "two"),
        ("error", "lines"),
        ("debug", "seen [1, 2]"),
    ]
    assert log[8][0] == "warning"
    assert "take care" in log[8][1]


def test_a_flood_of_output_is_bounded_and_says_so(make_runner: MakeRunner) -> None:
    body = """
        for i in range(200_000): print("line", i)
        return cube
        """
    result = make_runner(log_bytes=10_000).run(udf(body), small_cube(), {})
    messages = [line.message for line in result.log]
    assert (messages[0], messages[-1]) == ("line 0", "line 199999")
    (note,) = [line for line in result.log if line.level == "warning"]
    total = sum(len(f"line {i}\n") for i in range(200_000))
    assert note.message.startswith(f"{total - 10_000} bytes of output were dropped")


def test_the_environment_holds_no_credentials_and_the_folder_is_empty(
    make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    body = """
        import os, sys
        print(sorted(os.environ))
        print(os.listdir("."), os.environ["OMP_NUM_THREADS"], [p for p in sys.path if "somewhere" in p])
        print([p for p in sys.path if p.rstrip("/").endswith("acreage/udf")])
        return cube
        """
    names, surroundings, own = make_runner(threads=3).run(udf(body), small_cube(), {}).log
    assert "AWS_SECRET_ACCESS_KEY" not in names.message
    assert "PYTHONPATH" not in names.message
    assert surroundings.message == "[] 3 []"
    assert own.message == "[]"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (UdfCode("", runtime="R"), errors.UdfRuntimeUnsupported),
        (UdfCode("", version="2"), errors.UdfVersionUnsupported),
        (UdfCode("", version="3.0.1"), errors.UdfVersionUnsupported),
    ],
)
def test_another_runtime_is_refused(
    runner: ProcessUdfRunner, code: UdfCode, kind: type[errors.UdfError]
) -> None:
    with pytest.raises(kind):
        runner.run(code, small_cube(), {})


def test_the_interpreters_own_version_is_accepted(runner: ProcessUdfRunner) -> None:
    code = udf("return cube")
    asked = UdfCode(
        code.source, runtime="python", version=f"{sys.version_info.major}.{sys.version_info.minor}"
    )
    assert runner.run(asked, small_cube(), {}).array.sizes["x"] == 3


def test_a_context_that_is_not_json_is_refused(runner: ProcessUdfRunner) -> None:
    with pytest.raises(errors.UdfArgumentInvalid, match="context of the UDF is not JSON"):
        runner.run(udf("return cube"), small_cube(), {"array": np.zeros(2)})


def test_a_udf_that_breaks_the_channel_harms_only_itself(make_runner: MakeRunner) -> None:
    # An array that is shorter than it says.
    body = """
        import os, sys
        sys.modules["_udf_channel"]._write = lambda array: os.memfd_create("short")
        return cube
        """
    runner = make_runner(timeout_s=120)
    with pytest.raises(errors.UdfProcessDied):
        runner.run(udf(body), small_cube(), {})
    assert runner.run(udf("return cube"), small_cube(), {}).array.sizes["x"] == 3


def test_closing_ends_a_running_call_and_refuses_the_next(make_runner: MakeRunner) -> None:
    runner = make_runner(timeout_s=120)
    raised: list[errors.UdfError] = []

    def call() -> None:
        try:
            runner.run(udf("import time; time.sleep(600)"), small_cube(), {})
        except errors.UdfError as error:
            raised.append(error)

    runner.probe(udf("import time; time.sleep(600)"))
    thread = threading.Thread(target=call)
    thread.start()
    time.sleep(0.5)
    runner.close()
    thread.join(30)
    assert [type(e) for e in raised] == [errors.UdfProcessDied]
    with pytest.raises(errors.UdfProcessDied, match="closed"):
        runner.run(udf("return cube"), small_cube(), {})


def test_a_killed_engine_leaves_no_udf_behind(tmp_path: os.PathLike[str]) -> None:
    engine = textwrap.dedent(
        """
        import os, threading
        import numpy as np
        from acreage.core.udf import LabelledArray, UdfCode
        from acreage.udf.runner import ProcessUdfRunner
        from acreage.udf.process import WorkerProcess
        ask = WorkerProcess.ask
        def told(self, *args):
            print(self.pid, flush=True)
            return ask(self, *args)
        WorkerProcess.ask = told
        code = UdfCode("def apply_datacube(cube):\\n    while True: pass\\n")
        ProcessUdfRunner().run(code, LabelledArray(np.ones(1), ("x",)), {})
        """
    )
    process = subprocess.Popen([sys.executable, "-c", engine], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        pids = {int(process.stdout.readline()), int(process.stdout.readline())}
        process.kill()
        process.wait()
    (pid,) = pids
    deadline = time.monotonic() + 20
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(pid)
