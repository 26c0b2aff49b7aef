"""``make rehearse``: an account at Adobe by SFTP and PGP, and a mailbox by OAuth, on this machine.

The other side alone: an SFTP host that takes keys and no passwords, Audience Manager's part by the
sandbox, which has the secret half of a PGP key, a mailbox that takes tokens and no passwords, and
the identity service that gives them. What Adobe and Microsoft would tell you lies in
``.rehearsal/answers.sh``, for a shell. The page docs/how-to/rehearse.md goes on from there.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from demo.command import as_shell, run_alone, say
from demo.local.imap import imap_server
from demo.local.oauth import Certificate, identity_service, token_mailbox
from demo.local.sftp import sftp_server
from demo.playing import stay_up
from demo.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from demo.local.imap import ImapServer
    from demo.local.sftp import SftpServer

DIRECTORY: Final = Path(__file__).parent.parent / ".rehearsal"
_NAME: Final = "make rehearse"
#: Of the account at Adobe: the login, and the folder that files are put into.
LOGIN: Final = "acme"
FOLDER: Final = "inbound"

_NEXT: Final = """\
Adobe's side of an account by SFTP and PGP, and a mailbox by OAuth, are up. Nothing leaves this
machine. In another terminal, where `airflow` is your own:

    . {answers}

has what Adobe and Microsoft would tell you, as variables of the shell. Go on with
docs/how-to/rehearse.md. Ctrl-C ends all.
"""


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """What runs.

    :param answers: what Adobe and Microsoft would tell, by the name of a variable.
    :param sftp: the host that files are sent to.
    :param mailbox: the mailbox, as the sandbox gets in: by password.
    :param sandbox: plays Audience Manager.
    """

    answers: Mapping[str, str]
    sftp: SftpServer
    mailbox: ImapServer
    sandbox: Sandbox


@contextmanager
def rehearsal(directory: Path) -> Iterator[Rehearsal]:
    """Start everything; stop it when the block is left.

    :param directory: an empty folder.
    """
    certificate = Certificate.make(directory)
    with (
        sftp_server(directory / "sftp", user=LOGIN, password="") as sftp,
        imap_server(directory / "imap") as mailbox,
        identity_service(certificate, mailbox.user) as identity,
        token_mailbox(certificate, mailbox, identity) as by_token,
    ):
        # Nobody may log in before a public key was sent.
        (directory / "sftp" / "user_key.pub").unlink()
        (sftp.root / FOLDER).mkdir()
        answers = {
            "REHEARSAL": str(directory),
            "SFTP_HOST": sftp.host,
            "SFTP_PORT": str(sftp.port),
            "SFTP_LOGIN": sftp.user,
            "SFTP_FOLDER": f"/{FOLDER}",
            "SFTP_FINGERPRINT": _fingerprint(sftp.host_key),
            "PGP_PUBLIC_KEY": str(directory / "adobe.asc"),
            "PGP_FINGERPRINT": _pgp_pair(directory),
            "MAILBOX_HOST": sftp.host,
            "MAILBOX_PORT": str(by_token.port),
            "MAILBOX_LOGIN": mailbox.user,
            "TENANT_ID": identity.tenant,
            "CLIENT_ID": identity.client_id,
            "CLIENT_SECRET": identity.client_secret,
            "AUTHORITY": identity.url,
            "SSL_CERT_FILE": str(certificate.file),
            "REQUESTS_CA_BUNDLE": str(certificate.file),
        }
        with _sandbox(directory, sftp, mailbox) as sandbox:
            yield Rehearsal(answers=answers, sftp=sftp, mailbox=mailbox, sandbox=sandbox)


def main() -> int:
    """Run it until Ctrl-C."""
    return run_alone(_serve, port=None, name=_NAME, directory=DIRECTORY)


def _serve() -> int:
    say("starting an SFTP host, a mailbox, an identity service and the sandbox")
    with rehearsal(DIRECTORY) as running:
        answers = DIRECTORY / "answers.sh"
        answers.touch(mode=0o600)
        answers.write_text(as_shell(running.answers))
        say("up")
        print(f"\n{_NEXT.format(answers=answers)}", flush=True)
        stay_up(_NAME, say)


def _sandbox(directory: Path, sftp: SftpServer, mailbox: ImapServer) -> Sandbox:
    profiles = directory / "sandbox.sqlite"
    return Sandbox(
        command=[
            *(sys.executable, "-m", "airflow_am_provider.cli", "sandbox"),
            *("--inbox", f"ftp-folder:{sftp.root / FOLDER}"),
            *("--mail", f"imap://{mailbox.user}@{mailbox.host}:{mailbox.port}/INBOX"),
            *("--pgp-secret-key", directory / "adobe-secret.pgp"),
            *("--database", profiles, "--poll-interval", "0.5"),
            *("--behaviour", "quiet_s=1"),
        ],
        environment={"AIRFLOW_AM_SANDBOX_MAIL_PASSWORD": mailbox.password},
        log=directory / "sandbox.log",
        profiles=profiles,
    )


def _pgp_pair(directory: Path) -> str:
    """Write a key in place of Adobe's, and its secret half for the sandbox; its fingerprint."""
    from pysequoia import Tsk

    pair = Tsk.generate(user_id="In place of Adobe AudienceManager")
    public = pair.extract_certificate()
    (directory / "adobe.asc").write_text(str(public))
    secret = directory / "adobe-secret.pgp"
    secret.touch(mode=0o600)
    secret.write_bytes(bytes(pair))
    return str(public.fingerprint).upper()


def _fingerprint(host_key: str) -> str:
    import asyncssh

    return str(asyncssh.import_public_key(host_key).get_fingerprint())


if __name__ == "__main__":
    sys.exit(main())
