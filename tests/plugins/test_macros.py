"""What the plugin adds to templates, rendered as Airflow renders them."""

from importlib import import_module
from importlib.util import find_spec

from airflow.sdk.execution_time import macros
from jinja2 import Environment

_LOADER = "airflow.sdk.plugins_manager"


def test_a_template_makes_an_id_sync_url() -> None:
    # Airflow 3.1 has it elsewhere.
    loader = _LOADER if find_spec(_LOADER) else "airflow.plugins_manager"
    import_module(loader).integrate_macros_plugins()
    template = "{{ macros.audience_manager.id_sync_url(478, customer_id) }}"
    url = (
        Environment(autoescape=False).from_string(template).render(macros=macros, customer_id="a/1")
    )
    assert url == "https://dpm.demdex.net/ibs:dpid=478&dpuuid=a%2F1"
