"""Rasters over HTTP: whatever the server does, the pixels are the file's, or the error says why not."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.windows import Window
from tests.remote.conftest import QUICK, Files
from tests.support.servers.faulty import HTML, Answer, Fault, FaultyServer, busy, folder_backend, serving

from acreage.catalog.access import Access, AccessFailed, Policy, RemoteRasters, Transport
from acreage.catalog.access.policy import retry_after
from acreage.catalog.access.ranges import BLOCK, BlockCache, RemoteFile

Make = Callable[..., RemoteRasters]
WHOLE = Window(0, 0, 900, 700)


def read(rasters: RemoteRasters, address: str, window: Window = WHOLE, access: Access | None = None) -> Any:
    with rasters.dataset(address, access) as dataset:
        return dataset.read(1, window=window)


def cut_of(window: Window) -> tuple[slice, slice]:
    rows, columns = window.toslices()
    return rows, columns


# --- the same pixels ---

WINDOWS = st.builds(
    lambda c, r, w, h: Window(c, r, min(w, 900 - c), min(h, 700 - r)),
    st.integers(0, 890), st.integers(0, 690), st.integers(1, 600), st.integers(1, 500),
)  # fmt: skip
FAULTS = st.sampled_from(
    [
        None,
        busy(503),
        busy(429, 0),
        busy(500),
        busy(502),
        Fault(cut=0),
        Fault(cut=1),
        Fault(cut=5000),
        Fault(shift=17),
        Fault(delay=0.01),
    ]
)


@settings(max_examples=15)
@given(
    faults=st.lists(FAULTS, max_size=5),
    windows=st.lists(WINDOWS, min_size=1, max_size=3),
    name=st.sampled_from(["a.tif", "a.jp2"]),
)
def test_pixels_are_those_of_the_file_whatever_goes_wrong_on_the_way(
    files: Files, faults: list[Fault | None], windows: list[Window], name: str
) -> None:
    rasters = RemoteRasters(Transport(QUICK))
    with serving(folder_backend(files.folder), faults) as server:
        for window in windows:
            np.testing.assert_array_equal(
                read(rasters, f"{server.address}/{name}", window), files.pixels[cut_of(window)]
            )
        rasters.close()


@given(
    ranges=st.lists(st.tuples(st.integers(0, 300_000), st.integers(0, 200_000)), min_size=1, max_size=6),
    faults=st.lists(FAULTS, max_size=4),
)
def test_bytes_are_those_of_the_file_for_any_ranges(
    files: Files, ranges: list[tuple[int, int]], faults: list[Fault | None]
) -> None:
    data = (files.folder / "a.tif").read_bytes()
    with serving(folder_backend(files.folder), faults) as server:
        file = RemoteFile(f"{server.address}/a.tif", Access(), Transport(QUICK), BlockCache(100_000))
        for offset, length in ranges:
            assert file.read(offset, length) == data[offset : offset + length]
        inside = [(o, min(n, len(data) - o)) for o, n in ranges]
        assert file.read_many(inside) == [data[o : o + n] for o, n in inside]
        assert file.size() == len(data)


def test_many_threads_read_many_windows(files: Files, rasters: Make) -> None:
    pool, windows = rasters(), [Window(40 * n % 600, 31 * n % 500, 130, 170) for n in range(48)]
    with serving(folder_backend(files.folder), [busy(503), Fault(cut=100)] * 6) as server:
        names = ["a.tif", "a.jp2"]

        def same(n: int) -> bool:
            found = read(pool, f"{server.address}/{names[n % 2]}", windows[n])
            return bool((found == files.pixels[cut_of(windows[n])]).all())

        with ThreadPoolExecutor(6) as threads:
            assert all(threads.map(same, range(48)))


IN_THREADS = """
import sys, threading, rasterio

def read(found):
    # The layer is first imported here, where rasterio's own variables are not set.
    from acreage.catalog.access import remote_rasters
    for _ in range(20):
        with remote_rasters().dataset(sys.argv[1]) as dataset:
            found.append(int(dataset.read(1).sum()))
        remote_rasters().close()

for _ in range(3):
    found = []
    thread = threading.Thread(target=read, args=(found,))
    thread.start()
    thread.join()
    print(len(found), set(found))
"""


def test_threads_that_begin_and_end_leave_files_readable(files: Files) -> None:
    with serving(folder_backend(files.folder)) as server:
        done = subprocess.run(
            [sys.executable, "-c", IN_THREADS, f"{server.address}/a.tif"], capture_output=True, text=True
        )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.splitlines() == [f"20 {{{files.pixels.sum()}}}"] * 3


# --- how it asks ---


def test_opening_a_cog_is_one_request_and_a_window_one_more(files: Files, rasters: Make) -> None:
    pool = rasters()
    with serving(folder_backend(files.folder)) as server:
        with pool.dataset(f"{server.address}/a.tif") as dataset:
            assert dataset.shape == (700, 900)
        assert [r.headers["range"] for r in server.requests] == [f"bytes=0-{BLOCK - 1}"]
        read(pool, f"{server.address}/a.tif", Window(0, 0, 100, 100))
        assert len(server.requests) == 2
        read(pool, f"{server.address}/a.tif", Window(0, 0, 100, 100))
        assert len(server.requests) == 2, "what was decoded is kept with the open file"


def test_a_large_window_is_read_by_several_requests_at_once(tmp_path: Path, rasters: Make) -> None:
    values = np.random.default_rng(0).integers(0, 60_000, (2000, 2000)).astype(np.uint16)
    with rasterio.open(
        tmp_path / "big.tif", "w", "GTiff", 2000, 2000, 1, "EPSG:32631", rasterio.Affine.scale(10), "uint16",
        tiled=True, blockxsize=256, blockysize=256,
    ) as file:  # fmt: skip
        file.write(values, 1)
    with serving(folder_backend(tmp_path), pause=0.05) as server:
        found = read(rasters(), f"{server.address}/big.tif", Window(0, 0, 2000, 2000))
        np.testing.assert_array_equal(found, values)
        assert server.most > 1


def test_after_a_cut_only_the_rest_is_asked_for(files: Files) -> None:
    data = (files.folder / "a.tif").read_bytes()
    with serving(folder_backend(files.folder), [None, Fault(cut=70_000), Fault(cut=1000)]) as server:
        file = RemoteFile(f"{server.address}/a.tif", Access(), Transport(QUICK), BlockCache())
        assert file.read(40_000, 200_000) == data[40_000:240_000]
        asked = [r.headers["range"] for r in server.requests[1:]]
    starts = [int(re.findall(r"\d+", a)[0]) for a in asked]
    assert starts[0] == 40_000
    assert starts == sorted(set(starts)), "every try begins further on"
    assert starts[-1] > 40_000 + 65_535
    assert {re.findall(r"\d+", a)[1] for a in asked} == {"239999"}


@pytest.mark.parametrize("as_date", [False, True], ids=["seconds", "date"])
def test_retry_after_is_honoured_by_all_threads(files: Files, rasters: Make, as_date: bool) -> None:
    wait = 2.0 if as_date else 0.5
    pool, told = rasters(), threading.Event()

    def once(request: Any) -> Fault | None:
        if len(server.requests) == 4:
            told.set()
            return busy(429, wait, as_date)
        return None

    with serving(folder_backend(files.folder), rule=once) as server:
        address = f"{server.address}/a.tif"
        with pool.dataset(address):
            pass

        def row(n: int) -> Any:
            if n > 3:
                told.wait(10)
            return read(pool, address, Window(0, 128 * (n % 5), 900, 20))

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(row, range(8)))
        at = server.requests[3].at
        # Those on their way already may still come; an HTTP date has whole seconds only.
        later = [r.at - at for r in server.requests[4:] if r.at - at > 0.2]
        assert later
        assert min(later) >= wait - (1.0 if as_date else 0.0) - 0.01


def test_retry_after_headers_are_read_in_both_forms() -> None:
    assert retry_after("12") == 12
    assert retry_after("-1") == 0
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert retry_after("soon") is None
    assert retry_after("inf") is None
    assert retry_after("nan") is None
    assert retry_after(None) is None


def test_a_server_that_wants_more_than_the_patience_is_not_waited_for(files: Files, rasters: Make) -> None:
    pool = rasters()
    with serving(folder_backend(files.folder), [busy(503, 3600)]) as server:
        with pytest.raises(AccessFailed, match=r"HTTP 503.*to wait 3600 s, and patience ends after 20 s"):
            read(pool, f"{server.address}/a.tif")
        with pytest.raises(AccessFailed, match=r"a\.jp2: its server said not to ask before another 3\d+ s"):
            read(pool, f"{server.address}/a.jp2")
        assert len(server.requests) == 1


def test_a_queue_that_is_longer_than_the_patience_is_told(files: Files) -> None:
    transport = Transport(replace(QUICK, requests_per_second=0.1, connections=1, patience_s=0.5))
    with serving(folder_backend(files.folder)) as server:
        transport.document(f"{server.address}/a.tif")
        with pytest.raises(AccessFailed, match=r"too many other requests to its server.*after 0\.5 s"):
            transport.document(f"{server.address}/a.tif")
        assert len(server.requests) == 1


def test_connections_are_kept_open_between_requests(files: Files, rasters: Make) -> None:
    pool = rasters()
    with serving(folder_backend(files.folder), [None, None, busy(503)]) as server:
        for row in range(0, 600, 128):
            read(pool, f"{server.address}/a.tif", Window(0, row, 900, 20))
        assert len(server.requests) > 4
        assert len({r.peer for r in server.requests}) == 1


def test_a_server_that_stays_down_is_asked_so_many_times(files: Files, rasters: Make) -> None:
    with serving(folder_backend(files.folder), rule=lambda _: busy(503)) as server:
        with pytest.raises(AccessFailed, match=r"it answers HTTP 503.*\(asked 6 times\)"):
            read(rasters(), f"{server.address}/a.tif")
        assert len(server.requests) == 6


def test_a_server_that_always_says_at_once_is_left_alone_for_growing_pauses(
    files: Files, rasters: Make
) -> None:
    with serving(folder_backend(files.folder), rule=lambda _: busy(503, 0)) as server:
        with pytest.raises(AccessFailed, match=r"HTTP 503.*\(asked 6 times\)"):
            read(rasters(backoff_s=0.05, backoff_limit_s=9.0), f"{server.address}/a.tif")
        times = [r.at for r in server.requests]
        pauses = [b - a for a, b in itertools.pairwise(times)]
        assert min(pauses) >= 0.025
        assert pauses[-1] >= 0.4


def test_a_server_that_does_not_answer_is_asked_again(files: Files, rasters: Make) -> None:
    with serving(folder_backend(files.folder), [Fault(delay=1.0)]) as server:
        found = read(rasters(read_timeout_s=0.2), f"{server.address}/a.tif", Window(0, 0, 9, 9))
        np.testing.assert_array_equal(found, files.pixels[:9, :9])


def test_the_rate_of_requests_is_kept_by_all_threads_together(files: Files) -> None:
    transport = Transport(replace(QUICK, requests_per_second=40.0, connections=3))
    with serving(folder_backend(files.folder)) as server:

        def ask(n: int) -> int:
            return len(transport.document(f"{server.address}/a.tif"))

        with ThreadPoolExecutor(10) as threads:
            assert len(set(threads.map(ask, range(33)))) == 1
        times = [r.at for r in server.requests]
        assert len(times) == 33
        # Three at once, then one every 25 ms.
        assert times[-1] - times[0] >= (33 - 3) / 40.0 * 0.95
        assert 1 <= server.most <= 3


def test_connections_overlap_up_to_their_limit(files: Files) -> None:
    transport = Transport(replace(QUICK, connections=4))
    with serving(folder_backend(files.folder), pause=0.05) as server:
        with ThreadPoolExecutor(12) as threads:
            list(threads.map(lambda _: transport.document(f"{server.address}/a.tif"), range(24)))
        assert 1 < server.most <= 4


def test_limits_of_an_access_are_kept(files: Files) -> None:
    transport = Transport(QUICK)
    access = Access(connections=1)
    with serving(folder_backend(files.folder), pause=0.01) as server:
        with ThreadPoolExecutor(6) as threads:
            list(threads.map(lambda _: transport.document(f"{server.address}/a.tif", {}, access), range(12)))
        assert server.most == 1


def test_what_was_asked_is_counted(files: Files, rasters: Make) -> None:
    pool = rasters()
    with serving(folder_backend(files.folder), [busy(503), None, Fault(cut=10)]) as server:
        read(pool, f"{server.address}/a.tif", Window(0, 0, 300, 300))
        (use,) = pool.transport.conduct.tally.snapshot().values()
        assert use.requests == len(server.requests)
        assert use.retries == 2
        assert use.waits >= 2
        assert use.bytes > 300 * 300


# --- what it refuses ---

JSON_PAGE = Fault(Answer(200, {"Content-Type": "application/json"}, b'{"error": "no"}'))
XML_PAGE = Fault(Answer(200, {"Content-Type": "application/octet-stream"}, b"<?xml version='1.0'?><Error/>"))
PARTIAL_PAGE = Fault(
    Answer(206, {"Content-Type": "text/html", "Content-Range": "bytes 0-20/21"}, b"<html>Log in</html>  ")
)
TYPED_PAGE = Fault(Answer(200, {"Content-Type": "text/html; charset=utf-8"}, b"Please log in."))


@pytest.mark.parametrize("page", [HTML, JSON_PAGE, XML_PAGE, PARTIAL_PAGE, TYPED_PAGE])
def test_a_page_in_place_of_an_image_is_named(files: Files, rasters: Make, page: Fault) -> None:
    with serving(folder_backend(files.folder), [page]) as server:
        with pytest.raises(AccessFailed, match=r"a\.tif is no image but a text") as caught:
            read(rasters(), f"{server.address}/a.tif")
        assert caught.value.kind == "not-an-image"


def test_a_connection_that_is_always_cut_says_nothing_of_the_file(files: Files, rasters: Make) -> None:
    with serving(folder_backend(files.folder), rule=lambda _: Fault(cut=0)) as server:
        with pytest.raises(AccessFailed, match="the connection is cut after 0 bytes") as caught:
            read(rasters(patience_s=0.5), f"{server.address}/a.tif")
        assert caught.value.kind == "unreadable"


def test_bytes_that_are_no_image_are_named(tmp_path: Path, rasters: Make) -> None:
    (tmp_path / "a.tif").write_bytes(b"\x00\x01\x02" * 1000)
    with serving(folder_backend(tmp_path)) as server:
        with pytest.raises(AccessFailed, match="3000 bytes that are no image of a known format") as caught:
            read(rasters(), f"{server.address}/a.tif")
        assert caught.value.kind == "not-an-image"


def test_a_page_in_the_middle_of_a_job_is_named_and_the_next_read_is_well(
    files: Files, rasters: Make
) -> None:
    pool = rasters()
    with serving(folder_backend(files.folder), [None, HTML]) as server:
        address = f"{server.address}/a.tif"
        with pytest.raises(AccessFailed, match="is no image but a text"):
            read(pool, address)
        np.testing.assert_array_equal(read(pool, address), files.pixels)


def test_a_file_that_is_not_there_is_not_asked_for_twice(files: Files, rasters: Make) -> None:
    with serving(folder_backend(files.folder)) as server:
        with pytest.raises(AccessFailed, match=r"none\.tif is not there: it answers HTTP 404") as caught:
            read(rasters(), f"{server.address}/none.tif")
        assert caught.value.status == 404
        assert len(server.requests) == 1


def test_a_server_that_is_not_there_is_told(files: Files, rasters: Make) -> None:
    with serving(folder_backend(files.folder)) as server:
        address = server.address
    with pytest.raises(AccessFailed, match=r"a\.tif: it cannot be reached: .*refused \(asked 3 times\)"):
        read(rasters(), f"{address}/a.tif")


def test_a_small_file_is_read_whole_from_a_server_without_ranges(files: Files, rasters: Make) -> None:
    pool = rasters()
    with serving(folder_backend(files.folder, ranges=False)) as server:
        np.testing.assert_array_equal(read(pool, f"{server.address}/a.tif"), files.pixels)
        assert len(server.requests) == 1


def test_whole_files_are_kept_up_to_a_limit_and_read_again(files: Files) -> None:
    cache = BlockCache(whole_limit=1000)
    with serving(folder_backend(files.folder, ranges=False)) as server:
        kept = {
            name: RemoteFile(f"{server.address}/{name}", Access(), Transport(QUICK), cache)
            for name in ("a.tif", "a.jp2")
        }
        for name in ("a.tif", "a.jp2", "a.tif", "a.jp2"):
            data = (files.folder / name).read_bytes()
            wanted = [(0, 9), (200_000, 90_000), (len(data) - 70_000, 70_000)]
            assert kept[name].read_many(wanted) == [data[at : at + n] for at, n in wanted]
            assert kept[name].read(5, 50) == data[5:55]
        assert len(server.requests) == 4, "one for each time that the other file took the place"


def test_a_large_file_on_a_server_without_ranges_is_refused(files: Files, rasters: Make) -> None:
    with (
        serving(folder_backend(files.folder, ranges=False)) as server,
        pytest.raises(AccessFailed, match=r"gives no parts of files.*too large to be read whole"),
    ):
        read(rasters(whole_limit=50_000), f"{server.address}/a.tif")


def test_a_server_that_always_sends_other_bytes_is_refused(files: Files, rasters: Make) -> None:
    with (
        serving(folder_backend(files.folder), rule=lambda _: Fault(shift=1)) as server,
        pytest.raises(AccessFailed, match=rf"sends the bytes 1-{BLOCK} for 0-{BLOCK - 1}"),
    ):
        read(rasters(), f"{server.address}/a.tif")


def test_a_server_that_does_not_say_which_bytes_it_sends_is_refused(files: Files, rasters: Make) -> None:
    def silent(answer: Answer) -> Answer:
        return replace(answer, headers={k: v for k, v in answer.headers.items() if k != "Content-Range"})

    with (
        serving(folder_backend(files.folder), rule=lambda _: Fault(change=silent)) as server,
        pytest.raises(AccessFailed, match="without saying which bytes"),
    ):
        read(rasters(), f"{server.address}/a.tif")


@pytest.mark.parametrize("what", ["size", "tag"])
def test_a_file_that_changes_between_two_reads_is_refused(
    files: Files, rasters: Make, tmp_path: Path, what: str
) -> None:
    shutil.copy(files.folder / "a.tif", tmp_path / "a.tif")
    pool = rasters()
    with serving(folder_backend(tmp_path)) as server:
        read(pool, f"{server.address}/a.tif", Window(0, 0, 10, 10))
        data = (tmp_path / "a.tif").read_bytes()
        (tmp_path / "a.tif").write_bytes(data + b"more" if what == "size" else data)
        with pytest.raises(AccessFailed, match="has changed while it was read"):
            read(pool, f"{server.address}/a.tif", Window(600, 500, 200, 100))
        np.testing.assert_array_equal(read(pool, f"{server.address}/a.tif"), files.pixels)


@pytest.mark.parametrize("name", ["a.tif", "a.jp2"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_file_that_ends_early_is_cut_short(
    files: Files, rasters: Make, tmp_path: Path, name: str, share: float
) -> None:
    data = (files.folder / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * share)])
    with serving(folder_backend(tmp_path)) as server:
        with pytest.raises(AccessFailed, match="is cut short") as caught:
            read(rasters(), f"{server.address}/{name}")
        assert caught.value.kind == "truncated"


def test_an_empty_file_is_named(tmp_path: Path, rasters: Make) -> None:
    (tmp_path / "a.tif").write_bytes(b"")
    with serving(folder_backend(tmp_path)) as server:
        with pytest.raises(AccessFailed, match=r"a\.tif is empty") as caught:
            read(rasters(), f"{server.address}/a.tif")
        assert caught.value.kind == "not-an-image"


def test_redirections_are_followed_and_loops_end(files: Files, rasters: Make) -> None:
    with serving(folder_backend(files.folder)) as target:

        def moved(_: Any) -> Fault:
            return Fault(Answer(302, {"Location": f"{target.address}/a.tif"}))

        with serving(folder_backend(files.folder), rule=moved) as server:
            found = read(rasters(), f"{server.address}/elsewhere.tif", Window(0, 0, 9, 9))
            np.testing.assert_array_equal(found, files.pixels[:9, :9])

    def loop(_: Any) -> Fault:
        return Fault(Answer(301, {"Location": "/again.tif"}))

    with (
        serving(folder_backend(files.folder), rule=loop) as server,
        pytest.raises(AccessFailed, match="redirected more than 5 times"),
    ):
        read(rasters(), f"{server.address}/a.tif")


def test_the_default_policy_is_what_the_documentation_says() -> None:
    policy = Policy()
    assert (policy.requests_per_second, policy.connections, policy.patience_s) == (100.0, 16, 300.0)
    assert isinstance(FaultyServer(folder_backend(Path())), FaultyServer)
