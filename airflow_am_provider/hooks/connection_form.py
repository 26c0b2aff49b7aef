"""The connection's form for Airflow 3.1, which does not read it from the metadata."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow_am_provider.get_provider_info import get_provider_info

if TYPE_CHECKING:
    from collections.abc import Iterator


class FormForAirflow31:
    """What Airflow 3.1 asks a hook about the form of its connection."""

    conn_type: str

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Form fields by their names."""
        return dict(_widgets(_described(cls.conn_type)["conn-fields"]))

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Fields that the form leaves out."""
        behaviour = _described(cls.conn_type)["ui-field-behaviour"]
        return {name.replace("-", "_"): value for name, value in behaviour.items()}


def _described(conn_type: str) -> dict[str, Any]:
    types = get_provider_info()["connection-types"]
    return next(one for one in types if one["connection-type"] == conn_type)


def _widgets(fields: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    # By name, since these packages need not be there: Airflow 3.1 puts replacements in their place.
    wtforms, validators, babel, widgets = map(
        import_module,
        ("wtforms", "wtforms.validators", "flask_babel", "flask_appbuilder.fieldwidgets"),
    )
    for name, field in fields.items():
        schema = field["schema"]
        widget = wtforms.StringField(
            babel.lazy_gettext(field["label"]),
            widget=widgets.BS3TextFieldWidget(),
            validators=[validators.any_of(schema["enum"])] if "enum" in schema else [],
            description=field["description"],
            default=schema.get("default"),
        )
        yield name, widget
