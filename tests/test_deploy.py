"""Container file, compose file and chart: what parsers, schemas and Helm tell of them without a cluster."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from acreage.backend.settings import SERVER_PREFIX, ServerSettings
from acreage.core.settings import PREFIX, Settings

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "acreage"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text("utf-8"))
KNOWN = {f"{SERVER_PREFIX}{name.upper()}" for name in ServerSettings.model_fields} | {
    f"{PREFIX}{name.upper()}" for name in Settings.model_fields
}
HELM = ROOT / "build" / "helm" / "helm"
PLACEHOLDER = re.compile(r"\{\{ \.(Values|Release)\.([A-Za-z.]+) \}\}")


def instructions() -> list[tuple[str, str]]:
    """Those of the container file."""
    text = re.sub(r"^\s*#.*\n", "", (DEPLOY / "Containerfile").read_text("utf-8"), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in lines if line.strip()]


def rendered(template: Path) -> dict[str, Any]:
    """A template with the chart's own values; there is nothing but plain placeholders in it."""
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))

    def put_in(found: re.Match[str]) -> str:
        value: Any = {"Name": "acreage"} if found[1] == "Release" else values
        for part in found[2].split("."):
            value = value[part]
        return str(value)

    text = PLACEHOLDER.sub(put_in, template.read_text("utf-8"))
    assert "{{" not in text
    document: dict[str, Any] = yaml.safe_load(text)
    return document


def test_the_image_runs_as_nobody_special_and_is_watched() -> None:
    found = instructions()
    last = dict(found)
    assert last["USER"] == "10001:10001"
    assert [name for name, _ in found].index("USER") < [name for name, _ in found].index("ENTRYPOINT")
    assert "/ready" in last["HEALTHCHECK"]
    assert json.loads(last["ENTRYPOINT"]) == ["acreage"]
    assert json.loads(last["CMD"])[0] == "serve"
    installed = " ".join(value for name, value in found if name == "RUN")
    assert {"bubblewrap", "postgresql-client"} <= set(installed.split())


def test_all_that_the_image_copies_is_there_and_not_ignored() -> None:
    ignored = (ROOT / ".containerignore").read_text("utf-8").splitlines()
    assert (ROOT / ".dockerignore").read_text("utf-8").splitlines() == ignored
    for name, value in instructions():
        if name == "COPY" and "--from" not in value:
            for source in value.split()[:-1]:
                assert (ROOT / source).exists()
                assert f"!{Path(source).parts[0]}" in ignored


def test_the_compose_file_is_one() -> None:
    schema = files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json")
    jsonschema.validate(COMPOSE, json.loads(schema.read_text("utf-8")))
    server = COMPOSE["services"]["acreage"]
    assert (DEPLOY / "compose" / server["build"]["context"] / server["build"]["dockerfile"]).is_file()
    mounted = [v.split(":") for v in server["volumes"]]
    for source, *_ in mounted:
        assert source in COMPOSE["volumes"] or (DEPLOY / "compose" / source).is_file()
    assert all(name in COMPOSE["services"] for name in server["depends_on"])
    assert set(server["secrets"]) == set(COMPOSE["secrets"])


@pytest.mark.parametrize("where", ["compose", "chart", "image"])
def test_only_settings_that_exist_are_set(where: str) -> None:
    if where == "compose":
        names = set(COMPOSE["services"]["acreage"]["environment"])
    elif where == "chart":
        container = rendered(CHART / "templates" / "server.yaml")["spec"]["template"]["spec"]["containers"][0]
        names = {v["name"] for v in container["env"]}
    else:
        names = set(re.findall(r"\b(ACREAGE_\w+)=", (DEPLOY / "Containerfile").read_text("utf-8")))
    own = {n for n in names if n.startswith(PREFIX)}
    assert own
    assert own <= KNOWN


@pytest.mark.parametrize("name", sorted(p.name for p in (CHART / "templates").iterdir()))
def test_what_the_chart_makes_is_known_to_kubernetes(name: str) -> None:
    version = kubernetes_validate.latest_version()
    kubernetes_validate.validate(rendered(CHART / "templates" / name), version, strict=True)


@pytest.fixture
def helm(tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """Documents that Helm makes of the chart, by name of the release and with values set."""
    if not HELM.exists():
        pytest.skip("no Helm: `make helm` puts it into build/helm (npm and an x86-64 machine are needed)")

    def render(release: str, **values: str) -> list[dict[str, Any]]:
        changes = [part for item in values.items() for part in ("--set-string", "=".join(item))]
        own = {"HELM_CACHE_HOME": str(tmp_path), "HELM_CONFIG_HOME": str(tmp_path), "HOME": str(tmp_path)}
        command = [str(HELM), "template", release, str(CHART), *changes]
        done = subprocess.run(command, capture_output=True, text=True, env=own)
        assert done.returncode == 0, done.stderr
        return list(yaml.safe_load_all(done.stdout))

    return render


def test_helm_makes_of_the_chart_what_is_checked_here(helm: Callable[..., list[dict[str, Any]]]) -> None:
    made = {document["kind"]: document for document in helm("acreage")}
    ours = [rendered(path) for path in (CHART / "templates").iterdir()]
    assert made == {document["kind"]: document for document in ours}


def test_helm_puts_values_where_they_belong(helm: Callable[..., list[dict[str, Any]]]) -> None:
    documents = helm("fields", **{"image.tag": "2.0", "storage.size": "5Gi", "job.cores": "16"})
    version = kubernetes_validate.latest_version()
    for document in documents:
        kubernetes_validate.validate(document, version, strict=True)
        assert document["metadata"]["name"] == "fields"
    (server,) = [d for d in documents if d["kind"] == "StatefulSet"]
    (container,) = server["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.example.org/acreage:2.0"
    assert {"name": "ACREAGE_THREADS", "value": "16"} in container["env"]
    (claim,) = server["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"] == {"storage": "5Gi"}


def test_the_chart_keeps_what_the_sandboxes_need_and_nothing_more() -> None:
    pod = rendered(CHART / "templates" / "server.yaml")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert not pod["hostUsers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert not container["securityContext"]["allowPrivilegeEscalation"]
    assert container["securityContext"]["procMount"] == "Unmasked"
    assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    assert {"apiVersion", "name", "version"} <= set(chart)


def test_what_is_set_in_values_is_used() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    texts = "".join(p.read_text("utf-8") for p in (CHART / "templates").iterdir())
    used = {m[2] for m in PLACEHOLDER.finditer(texts) if m[1] == "Values"}
    leaves = {
        f"{k}.{inner}" if inner else k
        for k, v in values.items()
        for inner in (v if isinstance(v, dict) else [""])
    }
    assert leaves == used
