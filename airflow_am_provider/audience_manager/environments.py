"""Where Audience Manager takes files: the production and the beta environment."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError

if TYPE_CHECKING:
    from datetime import date


@dataclass(frozen=True, kw_only=True, slots=True)
class Environment:
    """One of Adobe's environments.

    :param name: ``production`` or ``beta``.
    :param bucket: its S3 bucket for inbound files.
    :param ftp_host: its FTP host for inbound files.
    :param sftp_host: its SFTP host, if it has one.
    :param maps_ids: whether it knows users at all. The beta environment checks names and
        contents only, so everything comes back as *No Matching AAM ID*
        (reference/beta-environment.md).
    """

    name: str
    bucket: str
    ftp_host: str
    sftp_host: str | None
    maps_ids: bool


# batch-data-transfer-overview.md; the SFTP host: faq/faq-data-collection.md.
PRODUCTION: Final = Environment(
    name="production",
    bucket="demdex-s2s-clients",
    ftp_host="ftp-in.demdex.com",
    sftp_host="ftp-in-gtw.demdex.com",
    maps_ids=True,
)
BETA: Final = Environment(
    name="beta",
    bucket="demdex-s2s-clients-sandbox-us-east-1",
    ftp_host="sandbox-ftp-in.demdex.com",
    sftp_host=None,
    maps_ids=False,
)
ENVIRONMENTS: Final = {PRODUCTION.name: PRODUCTION, BETA.name: BETA}

_PARTNER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def object_key(partner_name: str, sent_on: date, file_name: str) -> str:
    """The S3 key of a file: ``PARTNER/date=YYYY-MM-DD/FILENAME`` (inbound-s3-filenames.md).

    :param partner_name: the name Adobe gave the company.
    :param sent_on: the UTC day of sending.
    :param file_name: a name of :mod:`~airflow_am_provider.audience_manager.names`.
    :raises ConfigurationError: when the partner name would change the path.

    >>> from datetime import date
    >>> object_key("acme", date(2016, 5, 9), "ftp_dpm_478_1366545717.sync.gz")
    'acme/date=2016-05-09/ftp_dpm_478_1366545717.sync.gz'
    """
    if not _PARTNER_NAME.fullmatch(partner_name):
        raise ConfigurationError(
            f"partner name {partner_name!r}: letters, digits, '.', '_' and '-' only, since it "
            f"becomes a folder in Adobe's bucket (inbound-s3-filenames.md)"
        )
    return f"{partner_name}/date={sent_on.isoformat()}/{file_name}"
