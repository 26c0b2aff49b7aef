"""The examples at the end of every ``--help``."""

from __future__ import annotations

import argparse
from typing import Final

_BEGIN: Final = "examples:\n"
_STAGING: Final = "--staging s3://crm-staging/am"
_CONN: Final = "--conn-id audience_manager_default"
_ID: Final = "0123456789abcdef0123"
_FORMAT: Final = (
    "format data customers.csv --out out --dpid 478 --id-column id --traits-column traits"
)
_ID_SYNC: Final = (
    "format id-sync logins.csv --out out --master-dpid 0 --dpids 478 --columns aam_uuid,customer_id"
)

#: By the words that call the command, without the program's name.
EXAMPLES: Final = {
    "": (
        "check out/*.sync.gz",
        _FORMAT,
        f"deliveries list {_CONN} --state outstanding",
    ),
    "check": ("check out/*.sync.gz", "check s3://crm-staging/am/deliveries --json"),
    "format": (
        _FORMAT,
        _ID_SYNC,
    ),
    "format data": (_FORMAT,),
    "format id-sync": (_ID_SYNC,),
    "receipt": (
        "receipt mail.eml",
        "receipt mail.eml --manifest out/ftp_dpm_478_1366545717.sync.manifest.json",
    ),
    "deliveries": (
        f"deliveries list {_CONN} --since 2026-11-01 --dag audience_manager_daily",
        f"deliveries show {_ID} {_CONN}",
    ),
    "deliveries list": (
        f"deliveries list {_CONN} --since 2026-11-01 --target 478",
        f"deliveries list {_STAGING} --dag audience_manager_daily --state failed --json",
    ),
    "deliveries show": (f"deliveries show {_ID} {_CONN}",),
    "deliveries resend": (f"deliveries resend {_ID} {_CONN}",),
    "deliveries abandon": (
        f'deliveries abandon {_ID} {_CONN} --reason "The consent list was old."',
    ),
    "deliveries confirm": (f"deliveries confirm {_ID} ftp_dpm_478_1366545717.sync.1.gz {_CONN}",),
    "deliveries rename": (f"deliveries rename {_ID} {_CONN}",),
    "deliveries clean": (f"deliveries clean --retention P30D --dry-run {_CONN}",),
    "outbound": (
        "outbound list s3://acme-segments/from-adobe",
        "outbound check s3://acme-segments/from-adobe",
    ),
    "outbound list": (
        "outbound list s3://acme-segments/from-adobe --into s3://acme-lake/segments",
    ),
    "outbound show": ("outbound show /data/from-adobe S3_1234_20914_full_1486140844000",),
    "outbound check": (
        "outbound check /data/from-adobe S3_1234_20914_full_1486140844000.info",
        "outbound check /data/from-adobe --without-control-files --timestamp-digits 13",
    ),
    "sandbox segments": (
        "sandbox segments --database db --destination 1234 --dpid 478 --segment 9:24,25 --into out",
    ),
    "sandbox": (
        "sandbox --inbox s3://inbound --mail imap://aam@localhost:1143/INBOX",
        "sandbox profile --database sandbox.sqlite --dpid 478 --id 1001",
    ),
    "sandbox profile": ("sandbox profile --database sandbox.sqlite --dpid 478 --id 1001",),
}


class _WithExamples(argparse.HelpFormatter):
    """Wraps all texts but the examples, which are lines to copy."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if text.startswith(_BEGIN) else super()._fill_text(text, width, indent)


def add_examples(parser: argparse.ArgumentParser, words: str = "") -> None:
    """Put examples below the help of a parser, and of all parsers below it.

    :param parser: the parser.
    :param words: that call its command, without the program's name.
    """
    program = parser.prog.partition(" ")[0]
    lines = EXAMPLES.get(words)
    if lines is not None:
        parser.epilog = _BEGIN + "\n".join(f"  {program} {line}" for line in lines)
        parser.formatter_class = _WithExamples
    for action in parser._actions:  # noqa: SLF001  # argparse has no other way
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001  # as above
            for name, below in action.choices.items():
                add_examples(below, f"{words} {name}".strip())
