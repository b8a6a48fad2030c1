"""Results of a user's own jobs are loaded by load_stac, and those of others are not there."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import openeo
import pystac
import pytest
import rasterio
import requests
from tests.support.oidc_server import ACCOUNTS, Served
from tests.support.tiny_archive import node

AREA = {"west": 679_720, "south": 5_151_080, "east": 680_680, "north": 5_151_920, "crs": 32632}


@pytest.fixture(scope="module")
def carla(server: Served) -> str:
    return server.login("carla")


@pytest.fixture(scope="module")
def dora(server: Served) -> str:
    return server.login("dora")


def saved(mean: bool, file_format: str = "GTiff") -> dict[str, Any]:
    """Two bands of a few days, or their mean over time."""
    load = node(
        "load_collection",
        id="SENTINEL2_L2A",
        spatial_extent=AREA,
        temporal_extent=["2022-06-01", "2022-06-10"],
        bands=["B04", "B08"],
    )
    graph: dict[str, Any] = {"load": load}
    if mean:
        inner = {"m": {**node("mean", data={"from_parameter": "data"}), "result": True}}
        graph["mean"] = node(
            "reduce_dimension", data="@load", dimension="t", reducer={"process_graph": inner}
        )
    source = "@mean" if mean else "@load"
    graph["save"] = {**node("save_result", data=source, format=file_format), "result": True}
    return {"process": {"process_graph": graph}}


def loading(url: str, **more: Any) -> dict[str, Any]:
    """What loads an address, and saves it."""
    return {
        "process": {
            "process_graph": {
                "load": node("load_stac", url=url, **more),
                "save": {**node("save_result", data="@load", format="GTiff"), "result": True},
            }
        }
    }


@pytest.fixture(scope="module")
def job(server: Served, carla: str) -> str:
    """A finished job of one file without time."""
    return server.run_job(carla, saved(mean=True))


def canonical(server: Served, token: str, job: str) -> str:
    links = server.ask("GET", f"/jobs/{job}/results", token).json()["links"]
    href: str = next(link["href"] for link in links if link["rel"] == "canonical")
    return href


def pixels(content: bytes) -> tuple[Any, Any, Any, Any]:
    with rasterio.open(io.BytesIO(content)) as file:
        return file.read(), file.transform, file.crs, file.descriptions


def result_file(server: Served, token: str, job: str) -> bytes:
    (asset,) = server.ask("GET", f"/jobs/{job}/results", token).json()["assets"].values()
    return requests.get(asset["href"], timeout=60).content


@pytest.mark.parametrize("by", ["results", "canonical", "id"])
def test_a_result_is_loaded_by_a_synchronous_request(server: Served, carla: str, job: str, by: str) -> None:
    url = {
        "results": f"{server.url}/jobs/{job}/results",
        "canonical": canonical(server, carla, job),
        "id": job,
    }[by]
    answer = server.ask("POST", "/result", carla, json=loading(url))
    assert answer.status_code == 200, answer.text
    before, after = pixels(result_file(server, carla, job)), pixels(answer.content)
    assert before[3] == ("B04", "B08")
    np.testing.assert_array_equal(after[0], before[0])
    assert after[1:] == before[1:]
    assert server.ask("POST", "/validation", carla, json=loading(url)["process"]).json() == {"errors": []}


def test_a_job_loads_the_dates_of_another_jobs_files(server: Served, carla: str) -> None:
    first = server.run_job(carla, saved(mean=False))
    second = server.run_job(carla, loading(f"{server.url}/jobs/{first}/results", bands=["B08"]))
    about = server.ask("GET", f"/jobs/{second}/results", carla).json()
    before = server.ask("GET", f"/jobs/{first}/results", carla).json()
    assert about["cube:dimensions"]["t"] == before["cube:dimensions"]["t"]
    assert about["cube:dimensions"]["bands"]["values"] == ["B08"]
    assert len(about["assets"]) == len(before["assets"]) == 3
    for one, other in zip(about["assets"].values(), before["assets"].values(), strict=True):
        found = pixels(requests.get(one["href"], timeout=60).content)
        wanted = pixels(requests.get(other["href"], timeout=60).content)
        np.testing.assert_array_equal(found[0][0], wanted[0][1])
        assert found[1] == wanted[1]


def test_the_official_client_loads_a_job(server: Served, carla: str, job: str, tmp_path: Path) -> None:
    connection = openeo.connect(server.url).authenticate_basic("carla", ACCOUNTS["carla"])
    connection.load_stac(f"{server.url}/jobs/{job}/results").download(tmp_path / "a.tif", format="GTiff")
    found, wanted = (tmp_path / "a.tif").read_bytes(), result_file(server, carla, job)
    np.testing.assert_array_equal(pixels(found)[0], pixels(wanted)[0])


@pytest.mark.parametrize("by", ["results", "id", "elsewhere"])
def test_jobs_of_others_are_not_found(server: Served, dora: str, job: str, by: str) -> None:
    url = {
        "results": f"{server.url}/jobs/{job}/results",
        "id": job,
        "elsewhere": f"https://openeo.example.org/jobs/{job}/results",
    }[by]
    found = server.ask("POST", "/validation", dora, json=loading(url)["process"]).json()["errors"]
    assert [e["code"] for e in found] == ["JobNotFound"]
    answer = server.ask("POST", "/result", dora, json=loading(url))
    assert (answer.status_code, answer.json()["code"]) == (404, "JobNotFound")
    made = server.ask("POST", "/jobs", dora, json=loading(url)).headers["OpenEO-Identifier"]
    answer = server.ask("POST", f"/jobs/{made}/results", dora)
    assert (answer.status_code, answer.json()["code"]) == (404, "JobNotFound")


def test_a_job_that_is_nobodys_is_not_found(server: Served, carla: str) -> None:
    url = f"{server.url}/jobs/j-000000ffffffffffffffffffffffff/results"
    answer = server.ask("POST", "/result", carla, json=loading(url))
    assert (answer.status_code, answer.json()["code"]) == (404, "JobNotFound")


def test_a_signed_link_opens_results_of_others_and_a_forged_one_does_not(
    server: Served, carla: str, dora: str, job: str
) -> None:
    link = canonical(server, carla, job)
    answer = server.ask("POST", "/result", dora, json=loading(link))
    assert answer.status_code == 200, answer.text
    forged = link.replace("signature=", "signature=0")
    answer = server.ask("POST", "/result", dora, json=loading(forged))
    assert (answer.status_code, answer.json()["code"]) == (403, "TokenInvalid")
    expired = link.replace("expires=", "expires=1&x=")
    assert server.ask("POST", "/result", dora, json=loading(expired)).status_code == 403


def test_what_is_not_finished_or_no_raster_is_told(server: Served, carla: str) -> None:
    made = server.ask("POST", "/jobs", carla, json=saved(mean=True)).headers["OpenEO-Identifier"]
    answer = server.ask("POST", "/result", carla, json=loading(made))
    assert answer.json()["code"] == "JobNotFinished"
    table = server.run_job(carla, saved(mean=True, file_format="netCDF"))
    answer = server.ask("POST", "/result", carla, json=loading(table))
    assert answer.json()["code"] == "FileContentInvalid"
    (name,) = server.ask("GET", f"/jobs/{table}/results", carla).json()["assets"]
    assert f"Load the signed link of {name} by load_url with the format netCDF" in answer.json()["message"]


def test_results_link_their_items(server: Served, carla: str, job: str) -> None:
    links = server.ask("GET", f"/jobs/{job}/results", carla).json()["links"]
    (href,) = [link["href"] for link in links if link["rel"] == "item"]
    document = requests.get(href, timeout=30).json()
    item = pystac.Item.from_dict(document)
    assert item.collection_id == job
    (asset,) = item.assets.values()
    assert [band["name"] for band in document["assets"]["data"]["bands"]] == ["B04", "B08"]
    assert requests.get(asset.href, timeout=30).content == result_file(server, carla, job)
    assert requests.get(item.get_self_href() or "", timeout=30).json() == document
    for wrong in (href.replace("signature=", "signature=0"), href.replace(".tif", ".txt")):
        assert requests.get(wrong, timeout=30).status_code == 403
