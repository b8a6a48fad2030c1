"""The API through the official client, and by plain requests."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import openeo
import pystac
import pytest
import rasterio
import requests
import xarray as xr
from openeo.rest import OpenEoApiError
from PIL import Image
from tests.support.oidc_server import ACCOUNTS, Served
from tests.support.tiny_archive import node

AREA = {"west": 679_720, "south": 5_151_080, "east": 680_680, "north": 5_151_920, "crs": 32632}
TIME = ["2022-06-01", "2022-06-10"]


@pytest.fixture(scope="module")
def connection(server: Served) -> openeo.Connection:
    return openeo.connect(server.url).authenticate_basic("carla", ACCOUNTS["carla"])


@pytest.fixture(scope="module")
def token(server: Served) -> str:
    return server.login("carla")


def cube(connection: openeo.Connection, bands: list[str]) -> openeo.DataCube:
    return connection.load_collection("SENTINEL2_L2A", spatial_extent=AREA, temporal_extent=TIME, bands=bands)


def mean_graph(**more: Any) -> dict[str, Any]:
    inner = {"m": {**node("mean", data={"from_parameter": "data"}), "result": True}}
    load = node(
        "load_collection", id="SENTINEL2_L2A", spatial_extent=AREA, temporal_extent=TIME, bands=["B04"]
    )
    reduced = node("reduce_dimension", data="@load", dimension="t", reducer={"process_graph": inner})
    save = {**node("save_result", data="@mean", format="GTiff", **more), "result": True}
    return {"process_graph": {"load": load, "mean": reduced, "save": save}}


def test_the_client_finds_what_there_is(connection: openeo.Connection) -> None:
    assert connection.capabilities().api_version() == "1.2.0"
    assert connection.capabilities().supports_endpoint("/jobs/{job_id}/results", "POST")
    assert {"SENTINEL2_L2A", "CGLS_SSM_1KM"} <= set(connection.list_collection_ids())
    about = connection.describe_collection("SENTINEL2_L2A")
    pystac.Collection.from_dict(dict(about))
    assert about["cube:dimensions"]["bands"]["values"] == ["B02", "B03", "B04", "B08", "SCL"]
    assert "reduce_dimension" in {p["id"] for p in connection.list_processes()}
    assert "netCDF" in connection.list_file_formats()["output"]
    assert "Python" in connection.list_udf_runtimes()
    assert connection.describe_account()["user_id"] == "carla"


def test_a_synchronous_result_is_that_of_the_engine(connection: openeo.Connection, tmp_path: Path) -> None:
    path = tmp_path / "ndvi.nc"
    cube(connection, ["B04", "B08"]).ndvi(red="B04", nir="B08").download(path, format="netCDF")
    found = xr.open_dataset(path)
    assert found.sizes["t"] == 3
    values = next(v for v in found.data_vars.values() if v.ndim == 3).values
    assert np.nanmin(values) >= -1
    assert np.nanmax(values) <= 1


def test_a_batch_job_from_start_to_files(connection: openeo.Connection, tmp_path: Path) -> None:
    job = (
        cube(connection, ["B04"])
        .mean_time()
        .save_result("GTiff")
        .create_job(title="mean", job_options={"cores": 1})
    )
    assert job.describe_job()["status"] == "created"
    assert job.estimate()["costs"] == 0
    job.start_and_wait(max_poll_interval=0.5, print=lambda _: None)
    about = job.describe_job()
    assert about["status"] == "finished"
    assert about["usage"]["input_pixel"]["value"] > 0
    results = job.get_results()
    document = results.get_metadata()
    pystac.Collection.from_dict(document)
    assert list(document["assets"]) == ["saveresult1.tif"]
    (file,) = results.download_files(tmp_path, include_stac_metadata=False)
    with rasterio.open(file) as data:
        assert data.crs.to_epsg() == 32632
        assert data.shape == (84, 96)
    assert document["assets"]["saveresult1.tif"]["file:size"] == Path(file).stat().st_size
    described = [x for x in document["links"] if x["rel"] == "describedby"]
    assert requests.get(described[0]["href"], timeout=30).json()["collections"]
    assert any("items read" in e.message for e in job.logs())
    job.delete_job()
    with pytest.raises(OpenEoApiError, match="JobNotFound"):
        job.describe_job()


def test_own_processes_are_called_by_graphs(connection: openeo.Connection, tmp_path: Path) -> None:
    from openeo.api.process import Parameter

    data = Parameter.raster_cube()
    scaled = connection.datacube_from_process("apply", data=data, process={
        "process_graph": {"m": {**node("multiply", x={"from_parameter": "x"}, y=0.0001), "result": True}}
    })  # fmt: skip
    connection.save_user_defined_process("reflectance", scaled, parameters=[data])
    assert "reflectance" in {p["id"] for p in connection.list_user_defined_processes()}
    path = tmp_path / "r.nc"
    loaded = cube(connection, ["B04"])
    connection.datacube_from_process("reflectance", data=loaded).download(path, format="netCDF")
    plain = tmp_path / "p.nc"
    loaded.download(plain, format="netCDF")
    one, other = xr.open_dataset(path)["B04"].values, xr.open_dataset(plain)["B04"].values
    np.testing.assert_allclose(one, other * 0.0001, rtol=1e-6)


def test_public_processes_are_seen_and_called_by_others(server: Served, token: str) -> None:
    other = server.login("dora")
    for name, public in (("mean_red", True), ("private_red", False)):
        document = {**mean_graph(), "public": public, "summary": "Mean of red."}
        assert server.ask("PUT", f"/process_graphs/{name}", token, json=document).status_code == 200
    space = f"@{server.ask('GET', '/me', token).json()['user_id']}"
    assert [p["id"] for p in server.ask("GET", f"/processes/{space}", other).json()["processes"]] == [
        "mean_red"
    ]
    assert server.ask("GET", f"/processes/{space}/mean_red", other).json()["process_graph"]
    for path in (f"/processes/{space}/private_red", "/processes/nobody", "/processes/backend/nothing"):
        answer = server.ask("GET", path, other)
        assert (answer.status_code, answer.json()["code"]) == (404, "ProcessGraphNotFound"), path
    assert server.ask("GET", "/processes/backend/add").json()["id"] == "add"
    # Clients that ask for a page of processes do not ask for the next one.
    every = server.ask("GET", "/processes").json()["processes"]
    for path in ("/processes?limit=50", "/processes/backend?limit=2"):
        assert server.ask("GET", path).json()["processes"] == every
    for name, status in (("mean_red", 200), ("private_red", 400)):
        call = {"a": {"process_id": name, "namespace": space, "arguments": {}, "result": True}}
        answer = server.ask("POST", "/result", other, json={"process": {"process_graph": call}})
        assert answer.status_code == status, answer.text
    for name in ("mean_red", "private_red"):
        assert server.ask("DELETE", f"/process_graphs/{name}", token).status_code == 204


def test_a_taken_port_is_told(server: Served, catalog: Path, tmp_path: Path) -> None:
    port = server.url.rpartition(":")[2].partition("/")[0]
    options = ["--catalog", str(catalog), "--port", port, "--storage", str(tmp_path / "storage")]
    done = subprocess.run(
        [sys.executable, "-c", "from acreage.cli.main import main; main()", "serve", *options],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2, done.stderr
    assert "Nothing can listen at 127.0.0.1" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "storage").exists()


def test_validation_lists_all_problems(server: Served, token: str) -> None:
    graph = mean_graph()
    graph["process_graph"]["load"]["arguments"]["bands"] = ["B99"]
    found = server.ask("POST", "/validation", token, json=graph).json()["errors"]
    assert [e["code"] for e in found] == ["LabelNotAvailable"]
    graph["process_graph"]["mean"]["process_id"] = "nonsense"
    found = server.ask("POST", "/validation", token, json=graph).json()["errors"]
    assert "ProcessUnsupported" in {e["code"] for e in found}
    assert server.ask("POST", "/validation", token, json=mean_graph()).json() == {"errors": []}
    assert server.ask("POST", "/validation", token, json={}).json()["errors"]


def test_what_real_clients_send_besides_is_tolerated(server: Served, token: str) -> None:
    document = {
        "process": {**mean_graph(), "isTrusted": True},
        "isTrusted": True,
        "plan": None,
        "budget": None,
    }
    answer = server.ask("POST", "//result", token, json=document)
    assert answer.status_code == 200, answer.text
    with rasterio.open(io.BytesIO(answer.content)) as data:
        assert data.count == 1
    assert server.ask("GET", "//collections/").status_code == 200


def test_several_files_come_as_an_archive(server: Served, token: str) -> None:
    graph = mean_graph()
    del graph["process_graph"]["mean"]
    graph["process_graph"]["save"]["arguments"]["data"] = {"from_node": "load"}
    answer = server.ask("POST", "/result", token, json={"process": graph})
    assert answer.headers["content-type"] == "application/x-tar"
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        assert len(archive.getnames()) == 3


def test_an_error_of_the_graph_is_told_by_its_code(server: Served, token: str) -> None:
    graph = mean_graph()
    graph["process_graph"]["load"]["arguments"]["temporal_extent"] = ["1999-01-01", "1999-02-01"]
    answer = server.ask("POST", "/result", token, json={"process": graph})
    assert answer.json()["code"] == "NoDataAvailable"
    assert 400 <= answer.status_code < 500
    job = server.run_job(token, {"process": graph})
    told = server.ask("GET", f"/jobs/{job}/results", token)
    assert (told.status_code, told.json()["code"]) == (424, "NoDataAvailable")
    log = server.ask("GET", f"/jobs/{job}/logs?level=error", token).json()["logs"]
    assert [e["code"] for e in log] == ["NoDataAvailable"]


def test_jobs_are_changed_listed_and_stopped(server: Served, token: str) -> None:
    made = server.ask(
        "POST", "/jobs", token, json={"process": mean_graph(), "title": "one", "extra": {"a": 1}}
    )
    path = f"/jobs/{made.headers['OpenEO-Identifier']}"
    assert server.ask("PATCH", path, token, json={"title": "two", "log_level": "debug"}).status_code == 204
    about = server.ask("GET", path, token).json()
    assert (about["title"], about["extra"]) == ("two", {"a": 1})
    for wrong in ({"budget": -1}, {"log_level": "loud"}, {"plan": "gold"}, {"title": 5}, {"process": {}}, []):
        assert server.ask("PATCH", path, token, json=wrong).status_code == 400, wrong
    assert server.ask("DELETE", f"{path}/results", token).json()["code"] == "JobNotStarted"
    assert server.ask("GET", f"{path}/results", token).json()["code"] == "JobNotFinished"
    page = server.ask("GET", "/jobs?limit=1", token).json()
    assert len(page["jobs"]) == 1
    assert page["jobs"][0]["title"] == "two"
    assert server.ask("DELETE", path, token).status_code == 204


def test_files_of_users(server: Served, token: str) -> None:
    put = server.ask(
        "PUT", "/files/folder/a.geojson", token, data=b'{"type":"FeatureCollection","features":[]}'
    )
    assert put.json()["path"] == "folder/a.geojson"
    listed = server.ask("GET", "/files", token).json()["files"]
    assert [(f["path"], f["size"]) for f in listed] == [("folder/a.geojson", 42)]
    assert json.loads(server.ask("GET", "/files/folder/a.geojson", token).content)["features"] == []
    assert server.ask("GET", "/files/folder", token).json()["code"] == "FolderOperationUnsupported"
    for wrong in ("..%2F..%2Fx", ".hidden", "a/.b/c", "%00x", "a" * 300):
        answer = server.ask("PUT", f"/files/{wrong}", token, data=b"x")
        assert answer.status_code in (400, 404, 405), (wrong, answer.status_code)
    assert server.ask("DELETE", "/files/folder/a.geojson", token).status_code == 204
    assert server.ask("GET", "/files", token).json()["files"] == []


def test_uploaded_files_are_loaded(server: Served, token: str) -> None:
    made = server.ask("POST", "/result", token, json={"process": mean_graph()})
    assert server.ask("PUT", "/files/mean.tif", token, data=made.content).status_code == 200
    load = node("load_uploaded_files", paths=["mean.tif"], format="GTiff")
    graph = {"load": load, "save": {**node("save_result", data="@load", format="netCDF"), "result": True}}
    answer = server.ask("POST", "/result", token, json={"process": {"process_graph": graph}})
    assert answer.status_code == 200, answer.text
    assert answer.content[1:4] == b"HDF"
    others = server.ask("POST", "/result", server.login("dora"), json={"process": {"process_graph": graph}})
    assert (others.status_code, others.json()["code"]) == (404, "FileNotFound")
    graph["load"]["arguments"]["paths"] = ["../x.tif"]
    wrong = server.ask("POST", "/result", token, json={"process": {"process_graph": graph}})
    assert (wrong.status_code, wrong.json()["code"]) == (400, "FilePathInvalid")
    server.ask("DELETE", "/files/mean.tif", token)


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:9/c.json", "http://localhost/c", "/etc/passwd", "file:///etc"]
)
def test_graphs_reach_the_public_internet_only(server: Served, token: str, address: str) -> None:
    load = {"load": {**node("load_stac", url=address), "result": True}}
    called = {"a": {**node("x"), "namespace": address, "result": True}}
    for graph in (load, called):
        found = server.ask("POST", "/validation", token, json={"process_graph": graph}).json()["errors"]
        assert {e["code"] for e in found} <= {"AddressRefused", "FilePathInvalid", "ProcessUnsupported"}, (
            found
        )
        assert found


def test_map_tiles(server: Served, token: str) -> None:
    body = {"type": "xyz", "process": mean_graph(), "configuration": {"min": 200, "max": 2400}}
    made = server.ask("POST", "/services", token, json=body)
    assert made.status_code == 201, made.text
    path = f"/services/{made.headers['OpenEO-Identifier']}"
    about = server.ask("GET", path, token).json()
    tile = requests.get(about["url"].format(z=15, x=17416, y=11592), timeout=60)
    assert tile.headers["content-type"] == "image/png"
    picture = np.asarray(Image.open(io.BytesIO(tile.content)).convert("RGBA"))
    assert picture.shape == (256, 256, 4)
    assert len(np.unique(picture[..., 0])) > 20
    empty = requests.get(about["url"].format(z=15, x=1, y=1), timeout=60)
    assert not np.asarray(Image.open(io.BytesIO(empty.content)).convert("RGBA"))[..., 3].any()
    assert requests.get(about["url"].format(z=2, x=9, y=0), timeout=60).status_code == 404
    wrong = server.ask("PATCH", path, token, json={"configuration": {"colour": 1}})
    assert wrong.json()["code"] == "ServiceConfigUnsupported"
    assert server.ask("DELETE", path, token).status_code == 204
    assert requests.get(about["url"].format(z=15, x=17416, y=11592), timeout=60).status_code == 404


def test_health_readiness_and_metrics(server: Served) -> None:
    assert server.ask("GET", "/health").json() == {"status": "ok"}
    assert server.ask("GET", "/ready").json()["status"] == "ok"
    numbers = server.ask("GET", "/metrics").text
    assert 'acreage_jobs{status="queued"} 0.0' in numbers
    assert "acreage_request_seconds_bucket" in numbers


def test_errors_are_openeos(server: Served) -> None:
    answer = server.ask("GET", "/no/such/thing")
    assert (answer.status_code, answer.json()["code"]) == (404, "NotFound")
    assert set(answer.json()) == {"id", "code", "message", "links"}
    assert server.ask("POST", "/collections").status_code == 405
    broken = server.ask(
        "POST", "/result", server.login("dora"), data=b"{", headers={"content-type": "application/json"}
    )
    assert (broken.status_code, broken.json()["code"]) == (400, "RequestInvalid")
