"""The resource that the operator of dask-kubernetes makes a cluster of."""

from __future__ import annotations

from typing import Any

from acreage.engine.dask.config import KubernetesCluster, variables


def kubernetes_resource(config: KubernetesCluster) -> dict[str, Any]:
    """A `DaskCluster` of kubernetes.dask.org/v1: a scheduler, and workers on one shared scratch volume.

    Source of the form: https://kubernetes.dask.org/en/latest/operator_resources.html

    Raises:
        InvalidInput: a variable that the configuration names is not set.
    """
    environment = [{"name": n, "value": v} for n, v in variables(config.environment).items()]
    environment.append({"name": "ACREAGE_SCRATCH", "value": str(config.scratch_path)})
    worker = {
        "name": "worker",
        "image": config.image,
        "args": [
            "dask", "worker",
            "--name", "$(DASK_WORKER_NAME)",
            "--nworkers", "1",
            "--nthreads", str(config.threads),
            "--memory-limit", str(int(config.memory)),
            "--no-dashboard",
        ],
        "env": environment,
        "envFrom": [{"secretRef": {"name": name}} for name in config.secrets],
        "resources": _resources(int(config.memory), config.cpus or str(config.threads)),
        "volumeMounts": [{"name": "scratch", "mountPath": str(config.scratch_path)}],
    }  # fmt: skip
    volume = {"name": "scratch", "persistentVolumeClaim": {"claimName": config.scratch_claim}}
    return {
        "apiVersion": "kubernetes.dask.org/v1",
        "kind": "DaskCluster",
        "metadata": {"name": config.name},
        "spec": {
            "worker": {
                "replicas": config.workers,
                "spec": {"containers": [worker], "volumes": [volume], "terminationGracePeriodSeconds": 30},
            },
            "scheduler": {
                "spec": {"containers": [_scheduler(config)]},
                "service": {
                    "type": "ClusterIP",
                    "selector": {
                        "dask.org/cluster-name": config.name,
                        "dask.org/component": "scheduler",
                    },
                    "ports": [_port("tcp-comm", 8786), _port("http-dashboard", 8787)],
                },
            },
        },
    }


def _port(name: str, port: int) -> dict[str, Any]:
    return {"name": name, "protocol": "TCP", "port": port, "targetPort": name}


def _scheduler(config: KubernetesCluster) -> dict[str, Any]:
    probe = {"httpGet": {"port": "http-dashboard", "path": "/health"}, "periodSeconds": 5}
    return {
        "name": "scheduler",
        "image": config.image,
        "args": ["dask", "scheduler", "--host", "0.0.0.0"],
        "resources": _resources(int(config.scheduler_memory), "1"),
        "ports": [
            {"name": "tcp-comm", "containerPort": 8786, "protocol": "TCP"},
            {"name": "http-dashboard", "containerPort": 8787, "protocol": "TCP"},
        ],
        "readinessProbe": probe,
        "livenessProbe": {**probe, "initialDelaySeconds": 15, "periodSeconds": 20},
    }


def _resources(memory: int, cpus: str) -> dict[str, dict[str, str]]:
    # Memory asked for is memory had: a pod above its request is the first to be put out.
    return {"requests": {"cpu": cpus, "memory": str(memory)}, "limits": {"memory": str(memory)}}
