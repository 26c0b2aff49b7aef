"""Every choice of this project is written down for its users."""

from pathlib import Path

import pytest

from airflow_am_provider.audience_manager.rules import PROJECT, RULES, Rule

CHOICES = (Path(__file__).parents[2] / PROJECT).read_text()


@pytest.mark.parametrize("rule", [rule for rule, text in RULES.items() if text.page == PROJECT])
def test_a_rule_of_the_project_is_among_the_choices(rule: Rule) -> None:
    assert f"`{rule.value}`" in CHOICES
