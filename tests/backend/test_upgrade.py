"""A server is stopped with jobs running, and a later release goes on; backups by the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, inspect, text
from tests.backend.test_dispatcher import until
from tests.support.oidc_server import Served, running_server, small_graph, tiny_catalog
from tests.support.postgresql import Cluster

from acreage.backend.database import session as sessions
from acreage.backend.database.session import open_database, revision_of
from acreage.backend.storage import Storage
from acreage.core.database import url_of

SERVE = [sys.executable, "-c", "from acreage.cli.main import main; main()"]


def downgrade(address: str, revision: str) -> None:
    """Tables as an earlier release had them."""
    config, engine = Config(), create_engine(url_of(address))
    config.set_main_option("script_location", str(Path(sessions.__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)
    assert "installation" not in inspect(engine).get_table_names()
    engine.dispose()


def submitted(served: Served, token: str) -> str:
    job = served.ask("POST", "/jobs", token, json={"process": small_graph()}).headers["OpenEO-Identifier"]
    assert served.ask("POST", f"/jobs/{job}/results", token).status_code == 202
    return job


def job_of(served: Served, token: str, job: str) -> dict[str, Any]:
    found: dict[str, Any] = served.ask("GET", f"/jobs/{job}", token).json()
    return found


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_jobs_go_on_with_the_next_release_and_an_older_one_refuses(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    own: dict[str, str] = {}
    address = f"sqlite:///{tmp_path / 'storage' / 'acreage.db'}"
    if kind == "postgresql":
        cluster: Cluster = request.getfixturevalue("cluster")
        address = own["ACREAGE_SERVER_DATABASE"] = cluster.new_database()
    catalog = tiny_catalog(tmp_path / "archive")
    with running_server(tmp_path, catalog, **own) as served:
        token = served.login("carla")
        jobs = [submitted(served, token) for _ in range(2)]
        until(lambda: job_of(served, token, jobs[0])["status"] == "running")
        assert job_of(served, token, jobs[1])["status"] == "queued"
    # Stopped (SIGTERM). What an earlier release would have left:
    (tmp_path / "storage" / "installation").unlink()
    downgrade(address, "0001")
    with running_server(tmp_path, catalog, **own) as served:
        for job in jobs:
            until(lambda job=job: job_of(served, token, job)["status"] not in ("queued", "running"))
            assert job_of(served, token, job)["status"] == "finished"
        logs = served.ask("GET", f"/jobs/{jobs[0]}/logs", token).json()["logs"]
        assert any("begun again" in entry["message"] for entry in logs)
        document = served.ask("GET", f"/jobs/{jobs[0]}/results", token).json()
        if kind == "sqlite":
            backup_goes_to_another_folder(served, tmp_path, catalog, token, document)
    engine = create_engine(url_of(address))
    assert revision_of(engine) != "0001"
    engine.dispose()


def test_a_release_that_does_not_know_the_tables_refuses_to_serve(tmp_path: Path) -> None:
    catalog = tiny_catalog(tmp_path / "archive")
    Storage.at(tmp_path / "storage")
    database = open_database(f"sqlite:///{tmp_path / 'storage' / 'acreage.db'}")
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    refused = subprocess.run(
        [*SERVE, "serve", "--catalog", str(catalog), "--port", "0", "--storage", str(tmp_path / "storage")],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert refused.returncode == 2
    assert "revision 9999" in refused.stderr
    assert "Nothing was changed" in refused.stderr


def backup_goes_to_another_folder(
    served: Served, folder: Path, catalog: Path, token: str, document: dict[str, Any]
) -> None:
    """While the server runs, by the command line; logins and links go on to be good."""
    out, new = folder / "backup.tar", folder / "new"
    new.mkdir()
    stored = ["--storage", str(served.storage)]
    subprocess.run([*SERVE, "backup", str(out), *stored], check=True, capture_output=True, timeout=120)
    stored = ["--storage", str(new / "storage")]
    subprocess.run([*SERVE, "restore", str(out), *stored], check=True, capture_output=True, timeout=120)
    (asset,) = document["assets"].values()
    content = requests.get(asset["href"], timeout=60).content
    with running_server(new, catalog) as other:
        assert other.ask("GET", f"/jobs/{document['id']}", token).json()["status"] == "finished"
        link = asset["href"].replace(served.url, other.url)
        assert requests.get(link, timeout=60).content == content
