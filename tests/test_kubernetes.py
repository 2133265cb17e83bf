"""The chart and the KServe manifests: rendered by Helm's own engine, and checked against the cluster's schemas."""

import copy
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import promql_parser
import pytest
import yaml
from cloudcoil.models.keda.v1alpha1 import ScaledObject
from cloudcoil.models.prometheus_operator.v1 import ServiceMonitor

from tests.test_deploy import TOLD
from tianzi import __version__
from tianzi_service.settings import Settings

helm = pytest.importorskip("helm_python", reason="Helm's engine is packaged for Linux on x86-64 only")

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
CHART = DEPLOY / "helm/tianzi"
KUBERNETES = "1.33"
ALL: dict[str, Any] = {
    "settings": {"max_message_bytes": 16777216, "drain_s": 0.5, "grace_s": 20, "reflection": False, "stream_rows": 64},
    "tls": {"secretName": "certificate", "clientCa": True},
    "tokens": {"secretName": "callers"},
    "bundles": {"existingClaim": "bundles"},
    "keda": {"enabled": True},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "gpu": {"enabled": True, "runtimeClassName": "nvidia"},
    "image": {"repository": "registry.example.com/tianzi", "pullSecrets": [{"name": "pull"}]},
    "env": [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector:4317"}],
    "networkPolicy": {"egress": [{"ports": [{"port": 4317}]}]},
    "podAnnotations": {"team": "a"},
    "podLabels": {"team": "a"},
    "nodeSelector": {"gpu": "yes"},
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
}


def render(values: dict[str, Any]) -> dict[str, Any]:
    """What an installation as demo in the namespace prod makes, by kind."""
    with helm.Chart.load(CHART) as chart:
        texts = chart.render(values, name="demo", namespace="prod")
    files = [text for name, text in texts.items() if name.endswith(".yaml")]
    return {data["kind"]: data for text in files if (data := yaml.safe_load(text))}


def pod(values: dict[str, Any]) -> dict[str, Any]:
    return render(values)["Deployment"]["spec"]["template"]["spec"]


def environment(container: dict[str, Any]) -> dict[str, str]:
    """The server's settings among the container's variables, checked the way the server does."""
    there = {e["name"]: e["value"] for e in container["env"] if e["name"].startswith("TIANZI_")}
    names = {name.removeprefix("TIANZI_").lower() for name in there}
    assert names <= set(Settings.model_fields)
    return there


@pytest.mark.parametrize("values", [{}, ALL], ids=["default", "all"])
def test_helm_finds_nothing_to_complain_of(values: dict[str, Any]) -> None:
    report = helm.lint(CHART, copy.deepcopy(values), strict=True)
    assert [m["error"] for m in report["messages"]] == ["icon is recommended"]
    assert not report["errors"]


@pytest.mark.parametrize("values", [{}, ALL], ids=["default", "all"])
def test_manifests_are_what_kubernetes_expects(values: dict[str, Any]) -> None:
    manifests = render(values)
    assert {"Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy"} <= set(manifests)
    for kind, data in manifests.items():
        if kind not in ("ScaledObject", "ServiceMonitor"):
            kubernetes_validate.validate(data, KUBERNETES, strict=True)


def test_manifests_for_operators_are_what_they_expect() -> None:
    manifests = render(ALL)
    for cls in (ScaledObject, ServiceMonitor):
        data = manifests[cls.__name__]
        assert cls.model_validate(data).model_dump(by_alias=True, exclude_unset=True, mode="json") == data


@pytest.mark.parametrize(
    "wrong",
    [
        {"replica": 3},
        {"gpu": {"count": 0}},
        {"service": {"port": 70000}},
        {"settings": {"port": 1}},
        {"settings": {"drain_s": "soon"}},
        {"settings": {"drain_s": None}},
        {"gpu": {"settings": {"port": 1}}},
        {"keda": {"prometheus": "prometheus:9090"}},
    ],
)
def test_wrong_values_are_refused(wrong: dict[str, Any]) -> None:
    with helm.Chart.load(CHART) as chart, pytest.raises(helm.HelmError):
        chart.validate_schema(wrong)


def test_versions_are_the_softwares() -> None:
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == __version__
    runtime = yaml.safe_load((DEPLOY / "kserve/runtime.yaml").read_text())
    assert runtime["spec"]["containers"][0]["image"] == f"tianzi:{__version__}"


def test_the_container_has_no_rights_and_its_settings_are_the_servers() -> None:
    for values, tag in (({}, __version__), (ALL, f"{__version__}-gpu")):
        spec = pod(values)
        (container,) = spec["containers"]
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"]
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert spec["securityContext"]["runAsNonRoot"]
        assert not spec["enableServiceLinks"]
        assert container["image"].endswith(f"tianzi:{tag}")
        settings = environment(container)
        mounts = [m["mountPath"] for m in container.get("volumeMounts", [])]
        files = [value for value in settings.values() if value.startswith("/")]
        assert all(any(file.startswith(mount) for mount in mounts) for file in files)
    assert settings["TIANZI_MAX_MESSAGE_BYTES"] == "16777216"
    assert settings["TIANZI_DRAIN_S"] == "0.5"
    assert settings["TIANZI_REFLECTION"] == "false"
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert (settings["TIANZI_BATCH_ROWS"], settings["TIANZI_STREAM_ROWS"]) == ("1024", "64")
    assert "TIANZI_BATCH_ROWS" not in environment(pod({})["containers"][0])


def test_pods_are_given_the_time_that_draining_takes() -> None:
    for values in ({}, ALL):
        spec = pod(values)
        settings = environment(spec["containers"][0])
        needed = float(settings["TIANZI_DRAIN_S"]) + float(settings["TIANZI_GRACE_S"])
        assert needed + 5 <= spec["terminationGracePeriodSeconds"] <= needed + 15


def test_probes_ask_in_a_way_that_the_port_answers() -> None:
    names = ("startupProbe", "readinessProbe", "livenessProbe")
    plain, secured = pod({})["containers"][0], pod(ALL)["containers"][0]
    assert all(plain[name]["grpc"] == {"port": 50051} for name in names)
    # Kubernetes' gRPC probe speaks no TLS.
    assert all(secured[name]["httpGet"] == {"path": "/readyz", "port": "metrics"} for name in names)


def test_the_service_is_headless_and_finds_the_pods() -> None:
    manifests = render(ALL)
    service, deployment = manifests["Service"]["spec"], manifests["Deployment"]["spec"]
    assert service["clusterIP"] == "None"
    labels = deployment["template"]["metadata"]["labels"]
    for selector in (
        service["selector"],
        deployment["selector"]["matchLabels"],
        manifests["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        manifests["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()
    ports = {port["name"] for port in deployment["template"]["spec"]["containers"][0]["ports"]}
    assert {port["targetPort"] for port in service["ports"]} == ports


def test_keda_alone_decides_how_many_and_asks_for_what_is_told() -> None:
    assert render({})["Deployment"]["spec"]["replicas"] == 2
    manifests = render(ALL)
    assert "replicas" not in manifests["Deployment"]["spec"]
    query = manifests["ScaledObject"]["spec"]["triggers"][0]["metadata"]["query"]
    found: list[Any] = []
    promql_parser.walk(promql_parser.parse(query), found.append)
    (selector,) = [part for part in found if isinstance(part, promql_parser.VectorSelector)]
    assert selector.name in TOLD
    matchers = {matcher.name: matcher.value for matcher in selector.matchers.matchers}
    monitor = manifests["ServiceMonitor"]["spec"]
    labels = manifests["Service"]["metadata"]["labels"]
    assert matchers == {
        "job": labels[monitor["jobLabel"]],
        "namespace": "prod",
        "service": manifests["Service"]["metadata"]["name"],
    }
    assert monitor["selector"]["matchLabels"].items() <= labels.items()


def test_kserve_manifests_are_what_it_expects_and_fit_each_other() -> None:
    runtime, service = (yaml.safe_load((DEPLOY / f"kserve/{name}.yaml").read_text()) for name in ("runtime", "service"))
    # In a process of its own: kserve brings another description of the Open Inference Protocol.
    command = [sys.executable, "-m", "tests.outside.kserve_manifests", *map(str, (DEPLOY / "kserve").glob("*.yaml"))]
    environ = {**os.environ, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, cwd=DEPLOY.parent, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    model = service["spec"]["predictor"]["model"]
    assert model["runtime"] == runtime["metadata"]["name"]
    assert model["protocolVersion"] in runtime["spec"]["protocolVersions"]
    assert model["modelFormat"]["name"] == runtime["spec"]["supportedModelFormats"][0]["name"]
    (container,) = runtime["spec"]["containers"]
    environment(container)
    # The container as a pod's, for what KServe's description leaves to Kubernetes.
    whole = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [container]}}
    kubernetes_validate.validate(whole, KUBERNETES, strict=True)
