"""What `--dask` takes, and what each kind of configuration becomes; no cluster but those of examples."""

from __future__ import annotations

import importlib.metadata
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from acreage.cli.main import app
from acreage.core.errors import InvalidInput
from acreage.engine.dask.clusters import open_executor, slurm_cluster
from acreage.engine.dask.config import (
    AddressCluster,
    GatewayCluster,
    KubernetesCluster,
    LocalCluster,
    SlurmCluster,
    cluster_config,
    cluster_size,
)
from acreage.engine.dask.errors import ClusterFailed, ClusterPackageMissing
from acreage.engine.dask.kubernetes import kubernetes_resource

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "dask"
KINDS = {
    "address": AddressCluster,
    "gateway": GatewayCluster,
    "kubernetes": KubernetesCluster,
    "local": LocalCluster,
    "slurm": SlurmCluster,
}
GB = 1_000_000_000


def test_every_kind_has_an_example_that_is_valid_and_documented() -> None:
    assert {p.stem for p in EXAMPLES.glob("*.yaml")} == set(KINDS)
    page = (ROOT / "docs" / "dask.md").read_text("utf-8")
    for name, kind in KINDS.items():
        config = cluster_config(str(EXAMPLES / f"{name}.yaml"))
        assert isinstance(config, kind)
        assert f"examples/dask/{name}.yaml" in page
        assert [key for key in kind.model_fields if f"`{key}`" not in page] == []


@pytest.mark.parametrize("value", [None, "", "off"])
def test_without_a_cluster_threads_compute(value: str | None) -> None:
    assert cluster_config(value) is None


def test_a_word_an_address_and_a_file_name_a_cluster(tmp_path: Path) -> None:
    assert cluster_config("local") == LocalCluster()
    assert cluster_config("tcp://10.0.0.1:8786") == AddressCluster(address="tcp://10.0.0.1:8786")
    file = tmp_path / "mine.yaml"
    file.write_text("kind: local\nworkers: 3\n")
    assert cluster_config(str(file)) == LocalCluster(workers=3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: spark", "spark"),
        ("workers: 2", "kind"),
        ("kind: local\nworkers: 0", "workers: "),
        ("kind: local\nworkres: 2", "workres: Extra inputs"),
        ("kind: slurm\nworkers: 2\nmemory: much", "memory: "),
        ("kind: kubernetes\nworkers: 2", "image: Field required"),
        ("kind: gateway\naddress: host:80\nworkers: 2", "address: "),
        ("kind: slurm\nworkers: 2\nmemory: 4GB\nenvironment: ['KEY=secret']", "environment.0: "),
        ("kind: [", "not YAML"),
        ("- 1", "cannot be used"),
    ],
)
def test_a_file_that_cannot_be_used_says_which_key(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        cluster_config(str(file))
    assert said in caught.value.message
    assert str(file) in caught.value.message


@pytest.mark.parametrize("value", ["10.0.0.1:8786", "lokal", "http://host:8786"])
def test_a_value_that_names_no_cluster_is_refused(value: str) -> None:
    with pytest.raises(InvalidInput, match="names no Dask cluster"):
        cluster_config(value)


def test_a_file_that_is_not_there_is_refused_at_the_command_line(tmp_path: Path) -> None:
    graph = tmp_path / "graph.json"
    graph.write_text((ROOT / "examples" / "graphs" / "inputs.json").read_text())
    done = CliRunner().invoke(
        app, ["execute", str(graph), "--out", str(tmp_path / "o.nc"), "--dask", str(tmp_path / "none.yaml")]
    )
    assert done.exit_code == 2
    assert "none.yaml cannot be read" in done.output


def test_windows_are_cut_for_all_workers_that_will_come() -> None:
    assert cluster_size(LocalCluster(), 4) == (4, 1)
    assert cluster_size(LocalCluster(workers=2, threads=3), 4) == (2, 3)
    slurm = cluster_config(str(EXAMPLES / "slurm.yaml"))
    assert slurm is not None
    assert cluster_size(slurm, 4) == (20, 2)


def test_the_slurm_job_runs_one_worker_within_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    config = cluster_config(str(EXAMPLES / "slurm.yaml"))
    assert isinstance(config, SlurmCluster)
    monkeypatch.setenv("ACREAGE_SCRATCH", "/shared/scratch")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, f"the value of {name}")
    # This machine has no such interface.
    with slurm_cluster(config.model_copy(update={"interface": "lo"})) as cluster:
        script = cluster.job_script()
    lines = script.splitlines()
    directives = [line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH")]
    assert {"-J acreage", "-p normal", "-A cropmap", "-n 1", "--cpus-per-task=2", "-t 04:00:00"} <= set(
        directives
    )
    assert "--mem=8G" in directives
    assert "--export=PATH,HOME,ACREAGE_SCRATCH,AWS_ACCESS_KEY_ID,AWS_SECRET_ACCESS_KEY" in directives
    assert "the value of" not in script
    assert "ulimit -c 0" in lines
    command = shlex.split(lines[-1])
    assert command[:3] == [sys.executable, "-m", "distributed.cli.dask_worker"]
    options = dict(pairwise(command))
    assert options["--nthreads"] == "2"
    assert options["--local-directory"] == "/tmp"
    assert "--no-dashboard" in command
    assert options["--memory-limit"] == "8.00GiB"


def test_a_variable_that_is_named_and_not_set_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_SET_ANYWHERE", raising=False)
    config = SlurmCluster(workers=1, memory=4 * GB, environment=("NOT_SET_ANYWHERE",))
    with pytest.raises(InvalidInput, match="not set: NOT_SET_ANYWHERE"):
        slurm_cluster(config)


def test_the_kubernetes_resource_has_one_worker_a_pod_on_the_shared_volume(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    config = cluster_config(str(EXAMPLES / "kubernetes.yaml"))
    assert isinstance(config, KubernetesCluster)
    resource = kubernetes_resource(config)
    assert yaml.safe_load(yaml.safe_dump(resource)) == resource
    assert (resource["apiVersion"], resource["kind"]) == ("kubernetes.dask.org/v1", "DaskCluster")
    worker = resource["spec"]["worker"]
    assert worker["replicas"] == 20
    (pod,) = worker["spec"]["containers"]
    assert pod["args"][:2] == ["dask", "worker"]
    assert pod["args"][pod["args"].index("--nthreads") + 1] == "1"
    assert pod["args"][pod["args"].index("--memory-limit") + 1] == str(4 * 1024**3)
    assert pod["resources"] == {
        "requests": {"cpu": "2", "memory": str(4 * 1024**3)},
        "limits": {"memory": str(4 * 1024**3)},
    }
    assert {"name": "ACREAGE_SCRATCH", "value": "/scratch"} in pod["env"]
    assert {"name": "AWS_REGION", "value": "eu-central-1"} in pod["env"]
    assert pod["envFrom"] == [{"secretRef": {"name": "archive-keys"}}]
    (mount,), (volume,) = pod["volumeMounts"], worker["spec"]["volumes"]
    assert (mount["mountPath"], volume["persistentVolumeClaim"]) == (
        "/scratch",
        {"claimName": "acreage-scratch"},
    )
    assert mount["name"] == volume["name"]
    scheduler = resource["spec"]["scheduler"]
    ports = {p["name"]: p["containerPort"] for p in scheduler["spec"]["containers"][0]["ports"]}
    assert {p["targetPort"] for p in scheduler["service"]["ports"]} == set(ports)
    assert scheduler["service"]["selector"]["dask.org/cluster-name"] == resource["metadata"]["name"]


@pytest.mark.parametrize(
    ("name", "package"), [("kubernetes", "dask-kubernetes"), ("gateway", "dask-gateway")]
)
def test_a_missing_package_is_named_with_what_installs_it(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, package.replace("-", "_"), None)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("ACREAGE_GATEWAY_PASSWORD", "x")
    config = cluster_config(str(EXAMPLES / f"{name}.yaml"))
    assert config is not None
    with (
        pytest.raises(ClusterPackageMissing) as caught,
        open_executor(config, scratch=tmp_path, memory=2 * GB, threads=1),
    ):
        pass
    assert f"acreage[{name}]" in caught.value.hint
    extras = importlib.metadata.metadata("acreage").get_all("Provides-Extra") or []
    declared = (ROOT / "pyproject.toml").read_text("utf-8")
    assert name in extras or f'\n{name} = ["{package}' in declared


def test_a_plan_that_does_not_fit_the_workers_is_refused_before_anything_is_queued(tmp_path: Path) -> None:
    config = SlurmCluster(workers=1, memory=2 * GB)
    with (
        pytest.raises(InvalidInput, match=r"The plan may use 4GB in each worker.*gives each 2GB"),
        open_executor(config, scratch=tmp_path, memory=4 * GB, threads=1),
    ):
        pass


def test_a_scheduler_that_nobody_runs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acreage.engine.dask.clusters._CONNECT_S", 0.5)
    with (
        pytest.raises(ClusterFailed, match=r"tcp://127\.0\.0\.1:9 cannot be reached"),
        open_executor(AddressCluster(address="tcp://127.0.0.1:9"), scratch=tmp_path, memory=GB, threads=1),
    ):
        pass


def test_dask_is_not_imported_where_no_cluster_is_asked_for() -> None:
    code = "import sys; import acreage.cli.execute; print('distributed' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
