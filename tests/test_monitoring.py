"""docs/monitoring.md, the dashboard and the mapping of names say what the code sends."""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import Any

import pytest
import yaml

from airflow_am_provider.hooks.metrics import METRICS, TAGS, Kind, _named
from tests.docs_pages import DOCS, codes, page, rows

GRAFANA = DOCS / "grafana"
DASHBOARD: dict[str, Any] = json.loads((GRAFANA / "audience_manager.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]
VALUES = {"environment": "beta", "data_source": "478", "dag_id": "crm.daily", "destination": "7"}


def in_prometheus(name: str) -> str:
    return "airflow_" + name.replace(".", "_")


def test_every_metric_stands_there_with_its_kind_and_tags() -> None:
    told = [
        (codes(row["metric"])[0], row["kind"], tuple(codes(row["tags"])))
        for row in rows(page("monitoring.md"), "metric")
    ]
    assert told == [(metric.name, str(metric.kind), metric.tags) for metric in METRICS]
    tags = [codes(row["tag"])[0] for row in rows(page("monitoring.md"), "tag")]
    assert tags == [*TAGS, "destination"]


def test_the_dashboard_shows_every_metric_and_no_other() -> None:
    shown = {name for query in QUERIES for name in re.findall(r"airflow_[a-z_]+", query)}
    sent = {
        in_prometheus(metric.name) + suffix
        for metric in METRICS
        for suffix in (("_sum", "_count") if metric.kind is Kind.TIMER else ("",))
    }
    assert shown == sent


def test_the_dashboard_asks_by_labels_that_are_there() -> None:
    variables = {one["name"] for one in DASHBOARD["templating"]["list"]} - {"datasource"}
    assert variables == set(TAGS)
    for query in QUERIES:
        of_what_came_back = "_outbound_" in query or "_feed_" in query
        for label in re.findall(r"(\w+)=~", query):
            assert label == "dag_id" or (label in TAGS and not of_what_came_back), query
        for variable in re.findall(r"\$(\w+)", query):
            assert variable in {*variables, "__range"}, query


def test_the_dashboards_panels_have_their_own_places_and_the_chosen_source() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    assert DASHBOARD["schemaVersion"] >= 36
    for panel in PANELS:
        assert panel["description"]
        for one in (panel, *panel["targets"]):
            assert one["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    places = [panel["gridPos"] for panel in PANELS]
    for place in places:
        assert place["x"] + place["w"] <= 24
    for one, other in combinations(places, 2):
        assert (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_the_mapping_makes_tags_of_names(metric: Any) -> None:
    """As the exporter matches: a star is one part of the name, and the first mapping counts."""
    name, tags = _named(metric, {tag: VALUES[tag] for tag in metric.tags})
    assert tags == {}
    for mapping in yaml.safe_load((GRAFANA / "statsd_mapping.yml").read_text())["mappings"]:
        pattern = re.escape(mapping["match"]).replace(r"\*", r"([^.]*)")
        found = re.fullmatch(pattern, f"airflow.{name}")
        if found is None:
            continue

        def filled(text: str, found: re.Match[str] = found) -> str:
            return re.sub(r"\$(\d)", lambda one: found[int(one[1])], text)

        assert filled(mapping["name"]) == in_prometheus(metric.name)
        labels = {label: filled(text) for label, text in mapping["labels"].items()}
        expected = {tag: VALUES[tag].replace(".", "__") for tag in metric.tags}
        assert labels == expected
        return
    pytest.fail(f"no mapping for {name}")
