"""The model that a context names: fetched, checked, read-only."""

from __future__ import annotations

import hashlib
import http.server
import pickle
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.udf.examples import small_cube, udf

from acreage.cli.runtime import udf_runner
from acreage.core.settings import Settings
from acreage.udf.errors import UdfModelUnavailable
from acreage.udf.isolation import Isolation, isolation_available
from acreage.udf.models import ModelCache
from acreage.udf.runner import ProcessUdfRunner

CONTENT = bytes(range(256)) * 5000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "models at home"
    folder.mkdir()
    path = folder / "model.pt"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def cache(tmp_path: Path) -> ModelCache:
    return ModelCache(tmp_path / "cache")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path.endswith("cut"):
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT[:1000])
            return
        super().do_GET()


@pytest.fixture
def address(model: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(model.parent)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("scheme", "isolation"), [("path", "none"), ("file", "none"), ("http", "none"), ("path", "auto")]
)
def test_a_udf_reads_the_model_wherever_it_lies(
    tmp_path: Path, model: Path, address: str, cache: ModelCache, scheme: str, isolation: Isolation
) -> None:
    href = {"path": str(model), "file": model.as_uri(), "http": f"{address}/model.pt"}[scheme]
    body = """
        import hashlib
        path = context["model"]
        assert hashlib.sha256(open(path, "rb").read()).hexdigest() == context["model_sha256"]
        print(path)
        return cube
        """
    with ProcessUdfRunner(models=cache, isolation=isolation) as runner:
        result = runner.run(udf(body), small_cube(), {"model": href, "model_sha256": SHA256})
    path = Path(result.log[0].message)
    if isolation == "auto" and isolation_available().available:
        assert path == Path("/model/model.pt")
    else:
        assert path.is_relative_to(tmp_path / "cache")
        assert path.stat().st_mode & 0o222 == 0


def test_a_model_given_as_an_object_stays_an_object(model: Path, cache: ModelCache) -> None:
    given = {"model": {"href": str(model), "sha256": SHA256.upper(), "name": "m"}, "other": 1}
    found = cache.localise(given)
    assert Path(found["model"]["href"]).read_bytes() == CONTENT
    assert (found["model"]["name"], found["other"]) == ("m", 1)
    assert given["model"]["href"] == str(model)


def test_a_context_without_a_model_passes_as_it_is(cache: ModelCache) -> None:
    assert cache.localise({"factor": 2, "model": 3}) == {"factor": 2, "model": 3}


def test_a_fetched_model_is_not_fetched_again(address: str, model: Path, cache: ModelCache) -> None:
    first = cache.fetch(f"{address}/model.pt", SHA256)
    model.unlink()
    assert cache.fetch(f"{address}/model.pt", SHA256) == first


def test_a_damaged_copy_is_fetched_anew(address: str, tmp_path: Path, cache: ModelCache) -> None:
    path = cache.fetch(f"{address}/model.pt", SHA256)
    path.chmod(0o644)
    path.write_bytes(b"damaged")
    assert ModelCache(tmp_path / "cache").fetch(f"{address}/model.pt", SHA256).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("href", "sha256", "message"),
    [
        ("{folder}/none.pt", SHA256, "none.pt cannot be read: No such file"),
        ("{folder}", SHA256, "cannot be read: Is a directory"),
        ("{folder}/model.pt", "0" * 64, f"has the SHA-256 {SHA256}, and 0000"),
        ("{folder}/model.pt", "abc", "is no SHA-256"),
        ("{address}/none.pt", SHA256, "none.pt cannot be fetched: 404"),
        ("{address}/model.pt", "0" * 64, f"has the SHA-256 {SHA256}"),
        ("{address}/model.pt", None, "has no hash for the model"),
        ("{address}/cut", SHA256, "cut cannot be fetched"),
        ("http://127.0.0.1:9/model.pt", SHA256, "cannot be fetched"),
        ("s3://bucket/model.pt", SHA256, "cannot be read"),
    ],
)
def test_a_model_that_is_not_there_or_another_is_refused_and_leaves_nothing(
    model: Path, address: str, tmp_path: Path, cache: ModelCache, href: str, sha256: str | None, message: str
) -> None:
    with pytest.raises(UdfModelUnavailable, match=message):
        cache.fetch(href.format(folder=model.parent, address=address), sha256)
    assert [p for p in (tmp_path / "cache").rglob("*") if p.is_file()] == []


def test_files_of_the_machine_can_be_forbidden(model: Path, tmp_path: Path) -> None:
    strict = ModelCache(tmp_path / "cache", local_files=False)
    for href in (str(model), model.as_uri()):
        with pytest.raises(UdfModelUnavailable, match="files of the server cannot be named"):
            strict.fetch(href, SHA256)


def test_a_model_over_the_limit_is_refused(address: str, tmp_path: Path) -> None:
    with pytest.raises(UdfModelUnavailable, match="more than 1000 bytes"):
        ModelCache(tmp_path / "cache", max_bytes=1000).fetch(f"{address}/model.pt", SHA256)


def test_a_model_error_reaches_the_caller_of_a_udf(tmp_path: Path, cache: ModelCache) -> None:
    with ProcessUdfRunner(models=cache) as runner, pytest.raises(UdfModelUnavailable):
        runner.run(udf("return cube"), small_cube(), {"model": str(tmp_path / "none")})


def test_an_address_of_a_stranger_reaches_the_public_internet_only(address: str, tmp_path: Path) -> None:
    runner = udf_runner(Settings(cache=tmp_path), trusted=False)
    with runner, pytest.raises(UdfModelUnavailable, match="is not on the public internet"):
        runner.run(udf("return cube"), small_cube(), {"model": f"{address}/model.pt", "model_sha256": SHA256})


def test_models_can_be_fetched_by_another_hand(model: Path, tmp_path: Path) -> None:
    cache = ModelCache(tmp_path / "cache", download=_copy)
    assert pickle.loads(pickle.dumps(cache)) == cache
    assert cache != ModelCache(tmp_path / "cache")
    (tmp_path / "at").write_text(str(model))
    found = cache.fetch(f"http://host{tmp_path}/at", SHA256)
    assert found.read_bytes() == CONTENT


def _copy(address: str, path: Path, most_bytes: int) -> None:
    path.write_bytes(Path(Path(address.removeprefix("http://host")).read_text()).read_bytes())
