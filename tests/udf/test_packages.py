"""Packages that a UDF declares: from a folder of wheels, into a cache, read-only inside."""

from __future__ import annotations

import base64
import hashlib
import os
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.udf.examples import small_cube, udf

from acreage.core.udf import UdfCode
from acreage.udf import errors
from acreage.udf.isolation import isolation_available
from acreage.udf.packages import PackageCache
from acreage.udf.runner import ProcessUdfRunner

MakeRunner = Callable[..., ProcessUdfRunner]


def wheel(folder: Path, name: str, version: str, code: str, requires: tuple[str, ...] = ()) -> None:
    """A wheel of one module."""
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {r}\n" for r in requires)
    files = {
        f"{name}.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(text.encode())}\n"
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    wheel(folder, "acreage_test_scale", "1.0", "FACTOR = 3\n")
    wheel(folder, "acreage_test_scale", "2.0", "FACTOR = 5\n")
    wheel(
        folder,
        "acreage_test_index",
        "1.0",
        "import acreage_test_scale\ndef scaled(cube): return cube * acreage_test_scale.FACTOR\n",
        ("acreage_test_scale<2", "numpy>=1"),
    )
    wheel(folder, "acreage_test_old", "1.0", "", ("numpy<1",))
    wheel(folder, "acreage_test_large", "1.0", "X = '" + os.urandom(200_000).hex() + "'\n")
    return folder


@pytest.fixture
def cache(tmp_path: Path, wheels: Path) -> PackageCache:
    return PackageCache(tmp_path / "cache", str(wheels))


def declaring(*requirements: str, body: str = "return cube", before: str = "", more: str = "") -> UdfCode:
    listed = ", ".join(f'"{r}"' for r in requirements)
    block = f"# /// script\n# dependencies = [{listed}]\n{more}# ///\n"
    return UdfCode(block + udf(body, before=before).source)


SCALED = declaring(
    "acreage_test_index>=1",
    "xarray",
    body="print(acreage_test_index.__file__, numpy.__version__)\nreturn acreage_test_index.scaled(cube)",
    before="import acreage_test_index, numpy",
)


@pytest.mark.parametrize("isolation", ["none", "auto"])
def test_a_declared_package_and_what_it_needs_are_there(
    make_runner: MakeRunner, cache: PackageCache, isolation: str
) -> None:
    result = make_runner(packages=cache, isolation=isolation).run(SCALED, small_cube(), {})
    assert result.array.values[1, 1, 2, 2] == 3 * small_cube().values[1, 1, 2, 2]
    where, version = result.log[0].message.split()
    sandboxed = isolation == "auto" and isolation_available().available
    assert Path(where).is_relative_to("/opt/udf-packages" if sandboxed else cache.folder)
    assert version == np.__version__  # that of the interpreter: nothing is installed twice
    (resolved,) = cache.folder.glob("*/resolved.txt")
    assert resolved.read_text().split() == ["acreage_test_index==1.0", "acreage_test_scale==1.0"]


def test_an_environment_is_made_once_for_all_jobs(
    cache: PackageCache, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []
    threads = [
        threading.Thread(target=lambda: made.append(cache.environment(["acreage_test_scale"]).folder))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for path in wheels.iterdir():
        path.unlink()
    made.append(cache.environment(["acreage_test_scale"]).folder)
    assert len(made) == 4
    assert len(set(made)) == 1
    assert "FACTOR = 5" in (made[0] / "acreage_test_scale.py").read_text()
    monkeypatch.setattr("platform.python_version", lambda: "3.99.0")
    with pytest.raises(errors.UdfDependencyMissing):  # another key: it is looked for, and the wheels are gone
        cache.environment(["acreage_test_scale"])


def test_packages_too_old_or_too_many_go_unless_they_are_in_use(cache: PackageCache, tmp_path: Path) -> None:
    kept = cache.environment(["acreage_test_scale==1.0"])
    gone = cache.environment(["acreage_test_large"])
    gone.release()
    tight = PackageCache(cache.folder, cache.index, max_bytes=100_000)
    new = tight.environment(["acreage_test_index"])
    assert kept.folder.is_dir()
    assert not gone.folder.exists()
    stale = PackageCache(cache.folder, cache.index, max_age_days=1e-9)
    again = stale.environment(["acreage_test_index"])
    assert again.folder != new.folder
    new.release()
    stale.environment(["acreage_test_index"]).release()
    assert not new.folder.exists()


@pytest.mark.parametrize(
    ("requirements", "kind", "message"),
    [
        (["acreage-no-such-package"], errors.UdfDependencyMissing, "No matching distribution found"),
        (["acreage_test_scale>2"], errors.UdfDependencyMissing, "No matching distribution found"),
        (["acreage_test_index", "acreage_test_scale>1"], errors.UdfDependencyMissing, "ResolutionImpossible"),
        (["acreage_test_old"], errors.UdfDependencyMissing, "ResolutionImpossible"),
        (["acreage_test_scale", "xarray<1"], errors.UdfDependencyMissing, r"xarray<1 \(here is "),
        (["x @ https://example.org/x.whl"], errors.UdfSourceInvalid, "names an address"),
        (["x @ file:///etc/passwd"], errors.UdfSourceInvalid, "names an address"),
        (["--index-url=https://example.org"], errors.UdfSourceInvalid, "is not a requirement"),
    ],
)
def test_what_cannot_be_installed_is_told_with_pips_last_lines(
    make_runner: MakeRunner,
    cache: PackageCache,
    requirements: list[str],
    kind: type[errors.UdfError],
    message: str,
) -> None:
    with pytest.raises(kind, match=message) as caught:
        make_runner(packages=cache).probe(declaring(*requirements))
    assert caught.value.hint
    assert not list(cache.folder.glob("*/resolved.txt"))
    if "pip" in message or "matching" in message:
        assert any("acreage" in line for line in caught.value.log)


def test_a_package_over_the_limit_is_not_kept(cache: PackageCache) -> None:
    small = PackageCache(cache.folder, cache.index, max_bytes=100_000)
    with pytest.raises(errors.UdfDependencyMissing, match=r"take 0\.\d MB, of 0\.1 MB"):
        small.environment(["acreage_test_large"])
    assert not list(cache.folder.glob("*/resolved.txt"))


def test_a_source_distribution_is_not_built(tmp_path: Path, wheels: Path, cache: PackageCache) -> None:
    folder = tmp_path / "acreage_test_source-1.0"
    folder.mkdir()
    ran = tmp_path / "ran"
    (folder / "setup.py").write_text(f"open({str(ran)!r}, 'w')\nfrom setuptools import setup\nsetup()\n")
    with tarfile.open(wheels / "acreage_test_source-1.0.tar.gz", "w:gz") as archive:
        archive.add(folder, folder.name)
    with pytest.raises(errors.UdfDependencyMissing):
        cache.environment(["acreage_test_source"])
    assert not ran.exists()


def test_another_python_is_refused(make_runner: MakeRunner) -> None:
    code = declaring("numpy", more='# requires-python = ">=4"\n')
    with pytest.raises(errors.UdfSourceInvalid, match=r"requires Python >=4, and here is 3\."):
        make_runner().probe(code)
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert make_runner().probe(declaring("numpy", more=f'# requires-python = ">={here}"\n')).entry
