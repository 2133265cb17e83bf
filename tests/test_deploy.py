"""The dashboard and the alert rules ask only for what a server tells, and compose.yaml brings them to it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import compose_spec
import grpc
import promql_parser
import pytest
import yaml

from tianzi_service.lifecycle import supervisor
from tianzi_service.settings import Settings
from tianzi_service.telemetry import shared_metrics
from tianzi_service.telemetry.metrics import Metrics
from tianzi_service.telemetry.observer import Reason, Timing

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
ALERTS = DEPLOY / "prometheus/alerts.yml"
DASHBOARD = json.loads((DEPLOY / "grafana/tianzi.json").read_text(encoding="utf-8"))
# What Prometheus adds itself.
TARGET_LABELS = {"instance", "job"}
VALUES = {"outcome": {*get_args(Reason), "answered"}, "code": {code.name for code in grpc.StatusCode}}


def panels() -> Iterator[Any]:
    yield from (panel for panel in DASHBOARD["panels"] if panel["type"] != "row")


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return group["rules"]


def expressions() -> dict[str, str]:
    """Every PromQL expression by where it stands."""
    found = {f"alert {rule['alert']}": rule["expr"] for rule in rules()}
    for panel in panels():
        for target in panel["targets"]:
            found[f"panel {panel['title']} {target['refId']}"] = target["expr"]
    return found


def told() -> dict[str, set[str]]:
    """The labels of every sample that a server which has seen everything tells, by the sample's name."""
    metrics = Metrics()
    metrics.describe("1", 64)
    metrics.loaded("ocr", 1, "CPUExecutionProvider")
    metrics.serving(True)
    metrics.call_began("/method", ())
    metrics.call_ended("/method", "OK", 1.0)
    metrics.under_way("ocr", 1, 1)
    metrics.ran("ocr", 1, 1, 1.0)
    metrics.answered("ocr", 1, Timing())
    of_several = shared_metrics.Processes(supervisor.Workers(Settings(workers=2)))
    families = [*metrics.registry.collect(), *of_several.collect()]
    return {s.name: set(s.labels) for family in families for s in family.samples} | {"up": set()}


TOLD = told()


def nodes(expression: str) -> list[Any]:
    """The parts of an expression, Grafana's own variables filled in."""
    found: list[Any] = []
    promql_parser.walk(promql_parser.parse(expression.replace("$__rate_interval", "5m")), found.append)
    return found


@pytest.mark.parametrize("where", expressions())
def test_expressions_name_metrics_and_labels_that_there_are(where: str) -> None:
    parts = nodes(expressions()[where])
    selectors = [part for part in parts if isinstance(part, promql_parser.VectorSelector)]
    assert selectors
    for selector in selectors:
        assert selector.name in TOLD
        for matcher in selector.matchers.matchers:
            assert matcher.name in TOLD[selector.name] | TARGET_LABELS, selector.name
            if matcher.name in VALUES:
                assert set(matcher.value.split("|")) <= VALUES[matcher.name]
    labels = set().union(*(TOLD[selector.name] for selector in selectors)) | TARGET_LABELS
    groups = [part.modifier.labels for part in parts if isinstance(part, promql_parser.AggregateExpr) and part.modifier]
    assert {label for group in groups for label in group} <= labels


def test_alerts_say_what_is_wrong_and_where() -> None:
    for rule in rules():
        assert re.fullmatch(r"Tianzi[A-Z]\w+", rule["alert"])
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert "{{ $labels.instance }}" in rule["annotations"]["summary"]


def test_panels_do_not_overlap_and_read_the_chosen_source() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        grid = panel["gridPos"]
        cells = {
            (x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not cells & taken, panel["title"]
        assert grid["x"] + grid["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    text = json.dumps(DASHBOARD["panels"])
    assert set(re.findall(r"\$\{?([a-z]\w*)", text)) == variables
    assert {panel["datasource"]["uid"] for panel in panels()} == {"${datasource}"}


COMPOSE = DEPLOY.parent / "compose.yaml"


def test_compose_file_is_one_and_the_server_has_no_rights() -> None:
    services = compose_spec.PyCompose.from_yaml(COMPOSE.read_text(encoding="utf-8"))
    services.validate()
    server = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]["tianzi"]
    assert server["read_only"]
    assert server["cap_drop"] == ["ALL"]
    assert {name.removeprefix("TIANZI_").lower() for name in server["environment"]} <= set(Settings.model_fields)
    defaults = {name: Settings.model_fields[name].default for name in ("drain_s", "grace_s")}
    assert int(server["stop_grace_period"].removesuffix("s")) > sum(defaults.values())
    assert all(port.startswith("127.0.0.1:") for port in server["ports"])


def test_compose_file_brings_metrics_to_the_dashboard() -> None:
    services = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]
    mounts = {}
    for service in services.values():
        for volume in service.get("volumes", []):
            source, target, *_ = volume.split(":")
            if source.startswith("./"):
                assert (DEPLOY.parent / source).exists(), source
                mounts[target] = DEPLOY.parent / source
    prometheus = yaml.safe_load((mounts["/etc/prometheus"] / "prometheus.yml").read_text())
    (rules_file,) = prometheus["rule_files"]
    assert mounts["/etc/prometheus"] / Path(rules_file).name == ALERTS
    (job,) = prometheus["scrape_configs"]
    assert job["job_name"] == "tianzi", "as the alert rules have it"
    (targets,) = job["dns_sd_configs"]
    assert set(targets["names"]) <= set(services)
    assert targets["port"] == services["tianzi"]["environment"]["TIANZI_METRICS_PORT"]

    provisioning = mounts["/etc/grafana/provisioning"]
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yaml").read_text())["datasources"]
    host, _, port = source["url"].removeprefix("http://").partition(":")
    assert services[host]["ports"][0].endswith(f":{port}")
    (provider,) = yaml.safe_load((provisioning / "dashboards/tianzi.yaml").read_text())["providers"]
    folder = provider["options"]["path"]
    assert services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == f"{folder}/tianzi.json"
    assert json.loads(mounts[f"{folder}/tianzi.json"].read_text(encoding="utf-8")) == DASHBOARD
