"""ID-sync URLs, held against the forms of id-sync-http.md."""

from collections.abc import Callable
from typing import Any, cast

import pytest

from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.audience_manager.id_sync_urls import (
    Authentication,
    declared_id_url,
    id_sync_url,
)


def test_the_documented_form_with_everything() -> None:
    url = id_sync_url(
        478,
        "kündin/7?a=b&c",
        redirect="https://shop.example/in?uuid=${DD_UUID}&next=/a b",
        gdpr=False,
        gdpr_consent="BOEFEA+/=",
    )
    assert url == (
        "https://dpm.demdex.net/ibs:dpid=478&dpuuid=k%C3%BCndin%2F7%3Fa%3Db%26c"
        "&redir=https%3A%2F%2Fshop.example%2Fin%3Fuuid%3D${DD_UUID}%26next%3D%2Fa%20b"
        "&gdpr=0&gdpr_consent=BOEFEA%2B%2F%3D"
    )


def test_declared_ids_are_encoded_before_they_are_joined() -> None:
    url = declared_id_url(
        [(478, "a%01b", Authentication.LOGGED_OUT), ("my code", "ü", 0)], domain="acme"
    )
    assert url == (
        "https://acme.demdex.net/ibs:d_cid=478%01a%2501b%012&d_cid_ic=my%20code%01%C3%BC%010"
    )


@pytest.mark.parametrize("make", [id_sync_url, lambda dpid, user: declared_id_url([(dpid, user)])])
def test_no_personal_data_goes_into_a_url(make: Callable[[int, str], str]) -> None:
    with pytest.raises(DataError) as caught:
        make(478, "jane.doe@example.com")
    assert "jane.doe" not in str(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda address: id_sync_url(478, "a", redirect=f"https://shop.example/in?e={address}"),
        lambda address: declared_id_url([(address, "a")]),
    ],
)
@pytest.mark.parametrize("address", ["jane.doe@example.com", "jane.doe%40example.com"])
def test_no_personal_data_stands_beside_the_id(make: Callable[[str], str], address: str) -> None:
    with pytest.raises(DataError, match="no personal data") as caught:
        make(address)
    assert "jane.doe" not in str(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda text: id_sync_url(478, text),
        lambda text: id_sync_url(478, "a", redirect=f"https://shop.example/{text}"),
        lambda text: id_sync_url(478, "a", gdpr=True, gdpr_consent=text),
        lambda text: declared_id_url([("a" + text.encode("utf-8", "replace").decode(), text)]),
    ],
)
def test_what_utf_8_cannot_hold(make: Callable[[str], str]) -> None:
    with pytest.raises(DataError, match="UTF-8"):
        make("\ud800")


@pytest.mark.parametrize(("given", "sent"), [(True, 1), ("0", 0), (1, 1), ("False", 0)])
def test_consent_as_a_template_gives_it(given: Any, sent: int) -> None:
    assert f"&gdpr={sent}&" in id_sync_url(478, "a", gdpr=given, gdpr_consent="B")


def test_a_device_id_has_its_platforms_form() -> None:
    good = "e4fe9bde-caa0-47b6-908d-ffba3fa184f2"
    assert good in declared_id_url([("DSID_20914", good)])
    for source in (20914, "DSID_20914"):
        with pytest.raises(DataError, match="form of its platform"):
            declared_id_url([(source, good.upper())])


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda: id_sync_url(478, "a", gdpr=True), "both or neither"),
        (lambda: id_sync_url(478, "a", gdpr_consent="B"), "both or neither"),
        (lambda: id_sync_url(478, "a", gdpr=True, gdpr_consent=""), "empty"),
        (lambda: id_sync_url(0, "a"), "dpid: 0"),
        (lambda: id_sync_url(478, "a", redirect="javascript:alert(1)"), "redirect"),
        (lambda: id_sync_url(478, "a", domain="evil.example/"), "domain"),
        (lambda: declared_id_url([]), "one to 10"),
        (lambda: declared_id_url([(n, "a") for n in range(1, 12)]), "11 of them"),
        (lambda: declared_id_url([(478, str(n)) for n in range(4)]), "at most 3"),
        (lambda: declared_id_url([(478, "a", 3)]), "authentication 3"),
        (lambda: declared_id_url([("", "a")]), "integration code"),
        # Else a template's text would name a code that nobody has.
        (lambda: declared_id_url([("478", "a")]), r"ids\[0\]: '478' is text.*478 without quotes"),
        # Else a code could bring an ID of its own with it.
        (lambda: declared_id_url([("my\x01code", "a")]), "control character"),
        (lambda: id_sync_url(478, "a", gdpr=cast("Any", 2), gdpr_consent="B"), "gdpr: 2: True"),
        (lambda: id_sync_url(478, "a", gdpr=cast("Any", "yes"), gdpr_consent="B"), "gdpr: 'yes'"),
    ],
)
def test_what_breaks_a_rule_is_refused(broken: Callable[[], str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        broken()
