"""Receipts' sources: a real mailbox and a folder of raw mails."""

import imaplib
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from airflow_am_provider.audience_manager.errors import ConfigurationError, TransientError
from airflow_am_provider.hooks.mailbox import Mail, Mailbox, ReceiptFolder
from airflow_am_provider.storage import LocalFolder
from demo.local.imap import ImapServer
from demo.local.imap import imap_server as imap_server_of
from tests.connections import Connect

YESTERDAY = datetime.now(UTC) - timedelta(days=1)


def mail(sender: str, body: bytes = b"Records received: 3 \xe2\x9c\x93 \xff\r\n") -> bytes:
    return b"From: <" + sender.encode() + b">\r\nSubject: Result\r\n\r\n" + body


@pytest.fixture
def sender() -> str:
    """An address of the test's own: the mailbox is shared by all of them."""
    return f"{uuid4().hex}@adobe.example"


@pytest.fixture
def mailbox(imap_server: ImapServer, connect: Connect, sender: str) -> Mailbox:
    return Mailbox(conn_id=connect(imap_server.airflow_connection()), sender=sender)


def test_mail_is_read_byte_for_byte_and_stays_unread(
    mailbox: Mailbox, imap_server: ImapServer, sender: str
) -> None:
    unread = imap_server.count("UNSEEN")
    imap_server.append(mail(sender))
    imap_server.append(mail("somebody@else.example"))
    found = list(mailbox.mails(YESTERDAY))
    assert [one.raw for one in found] == [mail(sender)]
    assert imap_server.count("UNSEEN") == unread + 2


def test_mail_seen_before_is_not_fetched_again(
    mailbox: Mailbox, imap_server: ImapServer, sender: str
) -> None:
    imap_server.append(mail(sender, b"1\r\n"))
    (first,) = mailbox.mails(YESTERDAY)
    imap_server.append(mail(sender, b"2\r\n"))
    (second,) = mailbox.mails(YESTERDAY, seen={first.identity})
    assert second.raw == mail(sender, b"2\r\n")
    assert list(mailbox.mails(YESTERDAY, seen={first.identity, second.identity})) == []
    assert [one.identity for one in mailbox.mails(YESTERDAY)] == [first.identity, second.identity]


def test_old_mail_is_left_alone(mailbox: Mailbox, imap_server: ImapServer, sender: str) -> None:
    imap_server.append(mail(sender))
    assert list(mailbox.mails(datetime.now(UTC) + timedelta(days=3))) == []


def test_mail_that_is_too_long_is_not_fetched_and_told_once(
    mailbox: Mailbox, imap_server: ImapServer, sender: str, caplog: pytest.LogCaptureFixture
) -> None:
    imap_server.append(mail(sender, b"x" * 100_000))
    imap_server.append(mail(sender, b"short\r\n"))
    mailbox = Mailbox(conn_id=mailbox.conn_id, sender=sender, max_bytes=10_000)
    for _ in range(2):
        assert [one.raw for one in mailbox.mails(YESTERDAY)] == [mail(sender, b"short\r\n")]
    assert caplog.text.count("receipts are read up to 10,000") == 1


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What is sent to IMAP servers from now on."""
    sent: list[bytes] = []
    send = imaplib.IMAP4.send

    def note(self: imaplib.IMAP4, data: bytes) -> None:
        sent.append(bytes(data))
        send(self, data)

    monkeypatch.setattr(imaplib.IMAP4, "send", note)
    return sent


def append_all(imap_server: ImapServer, mails: Iterable[bytes]) -> None:
    with imap_server.connect() as client:
        # imaplib sends a mail and the end of its line apart, and the second waits for the server's
        # word on the first: 40 ms each.
        client.socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        now = imaplib.Time2Internaldate(time.time())
        for one in mails:
            client.append("INBOX", "", now, one)


def test_many_mails_take_few_round_trips(
    mailbox: Mailbox, imap_server: ImapServer, sender: str, commands: list[bytes]
) -> None:
    sent = [mail(sender, b"%d\r\n" % number) for number in range(1_200)]
    append_all(imap_server, sent)
    unread = imap_server.count("UNSEEN")
    commands.clear()
    found = list(mailbox.mails(YESTERDAY))
    assert [one.raw for one in found] == sent
    # Greeting, login, folder and goodbye; a search; sizes and texts of 500 each.
    assert len(commands) <= 5 + 1 + 3 + 3
    assert not any(b" STORE " in one or b" SELECT " in one for one in commands)
    assert imap_server.count("UNSEEN") == unread
    commands.clear()
    assert list(mailbox.mails(YESTERDAY, seen={one.identity for one in found})) == []
    assert len(commands) <= 5 + 1


def test_long_mails_are_asked_for_in_batches_by_their_bytes(
    mailbox: Mailbox, imap_server: ImapServer, sender: str, commands: list[bytes]
) -> None:
    sizes = [10, 3_000_000, 20, 2_000_000, 1_500_000, 30]
    sent = [mail(sender, b"x" * size + b"\r\n") for size in sizes]
    append_all(imap_server, sent)
    commands.clear()
    assert [one.raw for one in mailbox.mails(YESTERDAY)] == sent
    texts = [one for one in commands if b"BODY.PEEK" in one]
    assert len(texts) == 4
    assert len([one for one in commands if b"RFC822.SIZE" in one]) == 1


def test_a_mail_that_is_too_long_is_not_asked_after_again(
    mailbox: Mailbox, imap_server: ImapServer, sender: str, commands: list[bytes]
) -> None:
    imap_server.append(mail(sender, b"x" * 100_000))
    mailbox = Mailbox(conn_id=mailbox.conn_id, sender=sender, max_bytes=10_000)
    assert list(mailbox.mails(YESTERDAY)) == []
    commands.clear()
    assert list(mailbox.mails(YESTERDAY)) == []
    assert not any(b" FETCH " in one for one in commands)


@pytest.mark.parametrize(
    ("since", "day"),
    [
        (datetime(2026, 11, 5, 0, 30, tzinfo=UTC), b"04-Nov-2026"),
        # The fourth in UTC, and the third in zones west of it.
        (datetime(2026, 11, 5, 0, 30, tzinfo=timezone(timedelta(hours=14))), b"03-Nov-2026"),
        (datetime.min.replace(tzinfo=UTC), b"01-Jan-1970"),
    ],
)
def test_the_server_is_asked_for_a_day_more(
    mailbox: Mailbox, sender: str, commands: list[bytes], since: datetime, day: bytes
) -> None:
    list(mailbox.mails(since))
    (search,) = [one for one in commands if b" SEARCH " in one]
    assert search.endswith(b' SEARCH SINCE %s FROM "%s"\r\n' % (day, sender.encode()))


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("receipts@partner.example", "p\u00e4ssw\u00f6rd \u20ac"),
        ("r\u00e9ceptions@partner.example", "plain"),
        ('Jane "Receipts" Doe', 'quoted " and \\ back'),
    ],
)
def test_any_login_and_password_that_a_server_takes(
    tmp_path: Path, connect: Connect, user: str, password: str
) -> None:
    with imap_server_of(tmp_path, user=user, password=password) as server:
        conn_id = connect(server.airflow_connection())
        Mailbox(conn_id=conn_id, sender="a@b").check()
        wrong = connect({**server.airflow_connection(), "password": f"{password}x"})
        with pytest.raises(ConfigurationError) as caught:
            Mailbox(conn_id=wrong, sender="a@b").check()
    assert str(caught.value) == (
        f"mailbox {wrong!r}: the server refuses the login; check login and password"
    )


@pytest.mark.parametrize(
    ("capabilities", "password", "reason"),
    [
        (
            b"IMAP4rev1",
            "p\u00e4ss",
            (
                "login or password holds letters beyond ASCII, and the server has no login that "
                "takes them (AUTH=PLAIN, RFC 4616); give the mailbox another one"
            ),
        ),
        (
            b"IMAP4rev1 LOGINDISABLED",
            "pass",
            "the server takes no password without TLS; set use_ssl to true in its extra",
        ),
        (
            b"IMAP4rev1 AUTH=PLAIN",
            "p\x00ss",
            "login or password holds a character that no text has",
        ),
    ],
)
def test_a_password_that_cannot_be_told_says_so_without_it(
    connect: Connect, capabilities: bytes, password: str, reason: str
) -> None:
    port = next(odd_server({b"CAPABILITY": b"* CAPABILITY " + capabilities + b"\r\n"}))
    conn_id = connect(
        {
            "conn_type": "imap",
            "host": "127.0.0.1",
            "port": port,
            "login": "me",
            "password": password,
            "extra": {"use_ssl": False},
        }
    )
    with pytest.raises(ConfigurationError) as caught:
        Mailbox(conn_id=conn_id, sender="a@b", timeout_s=5).check()
    assert str(caught.value) == f"mailbox {conn_id!r}: {reason}"


def test_a_folder_that_is_not_there(imap_server: ImapServer, connect: Connect) -> None:
    document = imap_server.airflow_connection()
    conn_id = connect({**document, "extra": {"use_ssl": False, "mail_folder": "Absent"}})
    with pytest.raises(ConfigurationError) as caught:
        Mailbox(conn_id=conn_id, sender="a@b").check()
    assert str(caught.value) == (
        f"mailbox {conn_id!r}: the server does not open the folder 'Absent'; check mail_folder in "
        f"its extra"
    )


def test_a_server_without_tls_is_not_talked_to_by_default(
    imap_server: ImapServer, connect: Connect
) -> None:
    conn_id = connect({**imap_server.airflow_connection(), "extra": {}})
    with pytest.raises(TransientError, match="the server does not answer, or the line broke"):
        Mailbox(conn_id=conn_id, sender="a@b", timeout_s=2).check()


@pytest.fixture
def silent_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_silent_server_does_not_block(silent_port: int, connect: Connect) -> None:
    conn_id = connect(
        {
            "conn_type": "imap",
            "host": "127.0.0.1",
            "port": silent_port,
            "extra": {"use_ssl": False},
        }
    )
    with pytest.raises(TransientError, match=f"mailbox '{conn_id}': TimeoutError"):
        Mailbox(conn_id=conn_id, sender="a@b", timeout_s=0.2).check()


def odd_server(answers: dict[bytes, bytes]) -> Iterator[int]:
    """Speak just enough IMAP, with answers of one's own."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with server, server.accept()[0] as client, client.makefile("rwb") as file:
            file.write(b"* OK odd\r\n")
            file.flush()
            for line in file:
                tag, _, command = line.partition(b" ")
                for start, answer in answers.items():
                    if command.upper().startswith(start):
                        file.write(answer)
                file.write(tag + b" OK done\r\n")
                file.flush()
                if command.upper().startswith(b"LOGOUT"):
                    return

    threading.Thread(target=serve, daemon=True).start()
    yield server.getsockname()[1]


def test_odd_answers_are_left_out(connect: Connect) -> None:
    body = b"From: a@b\r\n\r\n\xff)\r\n"
    answers = {
        b"CAPABILITY": b"* CAPABILITY IMAP4rev1\r\n",
        b"EXAMINE": b"* 3 EXISTS\r\n",
        b"UID SEARCH": b"* SEARCH 7 x 99999999999 8\r\n* SEARCH 9\r\n* 4 EXISTS\r\n",
        b"UID FETCH 7,8,9": (
            b"* 1 FETCH (RFC822.SIZE 20 FLAGS (\\Seen) UID 7)\r\n"
            b"* 2 FETCH (FLAGS ())\r\n* 3 FETCH (UID 9 RFC822.SIZE 999999999999)\r\n"
        ),
        b"UID FETCH 7 ": (
            b"* 2 FETCH (FLAGS (\\Recent) UID 8)\r\n"
            b"* 1 FETCH (UID 7 BODY[] {%d}\r\n%s)\r\n* 9 EXPUNGE\r\n" % (len(body), body)
        ),
    }
    port = next(odd_server(answers))
    conn_id = connect(
        {"conn_type": "imap", "host": "127.0.0.1", "port": port, "extra": {"use_ssl": False}}
    )
    mailbox = Mailbox(conn_id=conn_id, sender="a@b", timeout_s=5)
    assert list(mailbox.mails(YESTERDAY)) == [Mail("imap:127.0.0.1/INBOX;0;7", body)]


def test_a_server_that_names_a_small_size_and_sends_a_large_mail_is_not_believed(
    connect: Connect,
) -> None:
    body = b"From: a@b\r\n\r\n" + b"x" * 5_000
    answers = {
        b"CAPABILITY": b"* CAPABILITY IMAP4rev1\r\n",
        b"EXAMINE": b"* 1 EXISTS\r\n",
        b"UID SEARCH": b"* SEARCH 7\r\n",
        b"UID FETCH 7 (UID RFC822": b"* 1 FETCH (RFC822.SIZE 20 UID 7)\r\n",
        # As if it had not been told how much to send at most.
        b"UID FETCH 7 (UID BODY.PEEK[]<0.1001>)": (
            b"* 1 FETCH (UID 7 BODY[]<0> {%d}\r\n%s)\r\n" % (len(body), body)
        ),
    }
    port = next(odd_server(answers))
    conn_id = connect(
        {"conn_type": "imap", "host": "127.0.0.1", "port": port, "extra": {"use_ssl": False}}
    )
    mailbox = Mailbox(conn_id=conn_id, sender="a@b", timeout_s=5, max_bytes=1_000)
    assert list(mailbox.mails(YESTERDAY)) == []


def test_sizes_that_are_estimates_cost_no_mail(connect: Connect) -> None:
    short, long = b"From: a@b\r\n\r\nshort", b"From: a@b\r\n\r\n" + b"x" * 9_000
    answers = {
        b"CAPABILITY": b"* CAPABILITY IMAP4rev1\r\n",
        b"EXAMINE": b"* 2 EXISTS\r\n",
        b"UID SEARCH": b"* SEARCH 7 8\r\n",
        b"UID FETCH 7,8 (UID RFC822": (
            b"* 1 FETCH (RFC822.SIZE 20 UID 7)\r\n* 2 FETCH (RFC822.SIZE 20 UID 8)\r\n"
        ),
        # One number before its text, one behind it.
        b"UID FETCH 7,8 (UID BODY.PEEK[]<0.4136>)": (
            b"* 1 FETCH (BODY[]<0> {%d}\r\n%s UID 7)\r\n" % (len(short), short)
            + b"* 2 FETCH (UID 8 BODY[]<0> {4136}\r\n%s)\r\n" % long[:4136]
        ),
        b"UID FETCH 8 (UID BODY.PEEK[]<0.100001>)": (
            b"* 2 FETCH (UID 8 BODY[]<0> {%d}\r\n%s)\r\n" % (len(long), long)
        ),
    }
    port = next(odd_server(answers))
    conn_id = connect(
        {"conn_type": "imap", "host": "127.0.0.1", "port": port, "extra": {"use_ssl": False}}
    )
    mailbox = Mailbox(conn_id=conn_id, sender="a@b", timeout_s=5, max_bytes=100_000)
    assert [one.raw for one in mailbox.mails(YESTERDAY)] == [short, long]


def test_a_huge_mailbox_is_searched_in_pieces(connect: Connect) -> None:
    # 120,000 numbers in one line are more than imaplib reads.
    answers = {
        b"CAPABILITY": b"* CAPABILITY IMAP4rev1\r\n",
        b"EXAMINE": b"* 120000 EXISTS\r\n",
        b"UID FETCH": b"* 1 EXPUNGE\r\n",
    }
    for start in (1, 50_001, 100_001):
        uids = b" ".join(b"%d" % (10**9 + start + number) for number in range(50_000))
        answers[b"UID SEARCH %d:%d SINCE" % (start, start + 49_999)] = b"* SEARCH %s\r\n" % uids
    port = next(odd_server(answers))
    conn_id = connect(
        {"conn_type": "imap", "host": "127.0.0.1", "port": port, "extra": {"use_ssl": False}}
    )
    mailbox = Mailbox(conn_id=conn_id, sender="a@b", timeout_s=20)
    seen = _Numbers()
    assert list(mailbox.mails(YESTERDAY, seen=seen)) == []
    assert seen.asked == 150_000


class _Numbers:
    """Counts what it is asked for, and has all of it."""

    def __init__(self) -> None:
        self.asked = 0

    def __contains__(self, identity: object) -> bool:
        self.asked += 1
        return True


def test_a_folder_of_many_mails_is_read_once_and_whole(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path)
    for number in range(50):
        folder.write_bytes(f"{number:02d}", b"%d" % number)
    source = ReceiptFolder(folder=folder)
    found = list(source.mails(YESTERDAY))
    assert [one.raw for one in found] == [b"%d" % number for number in range(50)]
    assert list(source.mails(YESTERDAY, seen={one.identity for one in found})) == []


def test_a_folder_of_raw_mails(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path)
    folder.write_bytes("2026/11/a", b"first")
    folder.write_bytes("too-long", b"x" * 200)
    source = ReceiptFolder(folder=folder, max_bytes=100)
    (first,) = source.mails(YESTERDAY)
    assert first.raw == b"first"
    folder.write_bytes("b", b"second")
    (second,) = source.mails(YESTERDAY, seen={first.identity})
    assert second.raw == b"second"
    assert list(source.mails(datetime.now(UTC) + timedelta(hours=1))) == []
    folder.write_bytes("2026/11/a", b"replaced")
    assert {one.raw for one in source.mails(YESTERDAY, seen={first.identity})} == {
        b"replaced",
        b"second",
    }


class Flaky:
    """An IMAP server with one answer for each time that a mail is asked for."""

    def __init__(self, *fetches: bytes, size: int = 100) -> None:
        self.fetches, self.size, self.validity = list(fetches), size, 1
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with self.server:
            while True:
                try:
                    client = self.server.accept()[0]
                except OSError:
                    return
                with client, client.makefile("rwb") as file, suppress(OSError):
                    self._talk(file)

    def _talk(self, file: Any) -> None:
        file.write(b"* OK flaky\r\n")
        file.flush()
        for line in file:
            tag, _, command = line.partition(b" ")
            command = command.upper()
            if command.startswith(b"CAPABILITY"):
                file.write(b"* CAPABILITY IMAP4rev1\r\n")
            elif command.startswith(b"EXAMINE"):
                file.write(b"* 1 EXISTS\r\n* OK [UIDVALIDITY %d] valid\r\n" % self.validity)
            elif command.startswith(b"UID SEARCH"):
                file.write(b"* SEARCH 7\r\n")
            elif b"BODY" in command:
                answer = self.fetches.pop(0)
                file.write(answer)
                if answer.endswith(b"cut"):
                    return
            elif b"SIZE" in command:
                file.write(b"* 1 FETCH (RFC822.SIZE %d UID 7)\r\n" % self.size)
            file.write(tag + b" OK done\r\n")
            file.flush()
            if command.startswith(b"LOGOUT"):
                return

    def mailbox(self, connect: Connect) -> Mailbox:
        login = {"conn_type": "imap", "host": "127.0.0.1", "port": self.port}
        conn_id = connect({**login, "extra": {"use_ssl": False}})
        return Mailbox(conn_id=conn_id, sender="a@b", timeout_s=5)


def sent(number: int, body: bytes) -> bytes:
    return b"* 1 FETCH (UID %d BODY[]<0> {%d}\r\n%s)\r\n" % (number, len(body), body)


BODY = b"From: a@b\r\n\r\nRecords received: 3\r\n"


def test_a_server_that_cuts_in_the_middle_of_a_mail_is_asked_again(connect: Connect) -> None:
    cut = sent(7, BODY)[:60] + b"cut"
    flaky = Flaky(cut, sent(7, BODY))
    mailbox = flaky.mailbox(connect)
    with pytest.raises(TransientError):
        list(mailbox.mails(YESTERDAY))
    assert [one.raw for one in mailbox.mails(YESTERDAY)] == [BODY]


def test_a_mail_that_the_server_hides_for_a_while_is_read_later(connect: Connect) -> None:
    # It is asked twice in one look.
    mailbox = Flaky(b"", b"", sent(7, BODY)).mailbox(connect)
    assert list(mailbox.mails(YESTERDAY)) == []
    assert [one.raw for one in mailbox.mails(YESTERDAY)] == [BODY]


def test_a_mail_that_comes_empty_first_is_read_later(connect: Connect) -> None:
    mailbox = Flaky(sent(7, b""), sent(7, BODY)).mailbox(connect)
    seen = {one.identity for one in mailbox.mails(YESTERDAY) if one.raw}
    assert [one.raw for one in mailbox.mails(YESTERDAY, seen=seen)] == [BODY]


def test_a_mailbox_that_was_made_anew_is_read_anew(connect: Connect) -> None:
    flaky = Flaky(sent(7, BODY), sent(7, BODY + b"other\r\n"))
    mailbox = flaky.mailbox(connect)
    (first,) = mailbox.mails(YESTERDAY)
    flaky.validity = 2  # the same number is another mail now
    (second,) = mailbox.mails(YESTERDAY, seen={first.identity})
    assert (first.raw, second.raw) == (BODY, BODY + b"other\r\n")


def test_a_mail_of_100_megabytes_is_never_asked_for(connect: Connect) -> None:
    flaky = Flaky(size=100_000_000)
    assert list(flaky.mailbox(connect).mails(YESTERDAY)) == []
