"""Encryption: only to the key that was pinned, and what comes out is read by another program."""

import os
import signal
import tracemalloc
from dataclasses import replace

import pytest

from airflow_am_provider.audience_manager.errors import ConfigurationError, TransientError
from airflow_am_provider.audience_manager.names import Encoding, Mode
from airflow_am_provider.formatting import openpgp, waiting_lines
from airflow_am_provider.formatting.lines.data_lines import DataLineWriter
from airflow_am_provider.formatting.openpgp import PgpPacker, Recipient, recipients_of
from airflow_am_provider.formatting.parts import PartSizes
from airflow_am_provider.formatting.pipeline import FormatOptions
from tests.formatting.running import TRAITS, in_pieces, run, table, users
from tests.pgp_keys import expired_pair, gpg_home, needs_gpg, pair, pair_of_2013

OTHER = "5EC1AC4943583F0C9B5DB44894DB38328496CE32"


def recipient(keys=None) -> Recipient:
    keys = keys or pair()
    return Recipient.pinned(keys.public.encode(), keys.fingerprint)


def packed(text: bytes, to: Recipient) -> bytes:
    with PgpPacker(to) as packer:
        return packer.compress(memoryview(text)) + packer.flush()


def refusal(key: bytes | str, fingerprint: str | None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        Recipient.pinned(key.encode() if isinstance(key, str) else key, fingerprint)
    return str(caught.value)


@needs_gpg
@pytest.mark.parametrize("keys", [pair, pair_of_2013])
def test_another_implementation_reads_what_was_encrypted(keys):
    text = b"ann\td_sid=24\n" * 200_000
    message = packed(text, recipient(keys()))
    assert keys().decrypted(message) == text
    # It compresses by itself.
    assert len(message) < len(text) / 10


@needs_gpg
def test_the_old_key_is_signed_with_sha1_alone():
    with gpg_home() as gpg:
        listed = gpg("--list-packets", given=pair_of_2013().public.encode()).decode()
    assert listed.count("digest algo 2,") == listed.count("digest algo") == 2


@needs_gpg
def test_the_message_is_aes_and_binary_and_says_for_which_key():
    message = packed(b"ann\td_sid=24\n", recipient())
    assert not message.startswith(b"-----")
    with gpg_home() as gpg:
        gpg("--import", given=pair().secret)
        said = gpg("--status-fd", "1", "--decrypt", given=message).decode().splitlines()
    # Protected against changes (2), AES with 128 bits (7).
    assert any(line.startswith("[GNUPG:] DECRYPTION_INFO 2 7") for line in said)
    (key_id,) = recipients_of(message) or []
    assert f"[GNUPG:] ENC_TO {key_id} 18 0" in said


@needs_gpg
def test_a_key_counts_only_with_its_own_fingerprint():
    keys = pair()
    assert refusal(keys.public, None) == (
        "pgp_fingerprint: missing, and a public key counts only when it is pinned; compare the "
        "fingerprint with the one that its owner tells you, and fill it in "
        "(inbound-file-encryption.md)"
    )
    assert refusal(keys.public, OTHER) == (
        f"pgp_fingerprint: {OTHER}, but that of the key is {keys.fingerprint}; nothing is "
        f"encrypted to another key than the one that was pinned. Compare both with what the key's "
        f"owner tells you; mend pgp_fingerprint, or put the right key there"
    )
    assert refusal(keys.public, keys.fingerprint[-16:]) == (
        f"pgp_fingerprint: '{keys.fingerprint[-16:]}' is not a fingerprint, which has 40 or 64 "
        f"hexadecimal digits; a shorter key ID can be forged"
    )
    spaced = " ".join(keys.fingerprint[i : i + 4] for i in range(0, 40, 4)).lower()
    assert Recipient.pinned(keys.public.encode(), spaced).fingerprint == keys.fingerprint


@needs_gpg
def test_an_expired_key_is_refused():
    keys = expired_pair()
    assert refusal(keys.public, keys.fingerprint) == (
        "pgp_public_key: the key expired on 2020-06-02; ask its owner for the key that holds now"
    )


@needs_gpg
def test_what_is_no_public_key_is_refused_and_never_repeated():
    keys = pair()
    expected = (
        "pgp_public_key: not a public key: '-----BEGIN PGP PUBLIC KEY BLOCK-----' and what "
        "follows, with its line ends, is expected (inbound-file-encryption.md)"
    )
    assert refusal(b"ann\td_sid=24\n", keys.fingerprint) == expected
    assert refusal(b"", keys.fingerprint) == expected
    assert refusal(keys.secret, keys.fingerprint) == (
        "pgp_public_key: a secret key, which its owner alone may have; give the public one, and "
        "take this one out of where it stands"
    )
    assert refusal(keys.public + pair_of_2013().public, keys.fingerprint) == (
        "pgp_public_key: 2 public keys; give the recipient's alone"
    )


def test_without_gpg_one_sentence_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert refusal(pair().public, pair().fingerprint) == (
        "pgp_public_key: gpg is not on this machine, and it does the encryption; install GnuPG "
        "2.2.8 or newer (package gnupg) on every worker"
    )
    assert recipients_of(b"\x85\x02") is None


def test_nothing_is_encrypted_for_nobody():
    with pytest.raises(ConfigurationError) as caught:
        FormatOptions(encoding=Encoding.PGP)
    assert str(caught.value) == (
        "compression: 'pgp' needs the recipient's public key; name it and its fingerprint "
        "(inbound-file-encryption.md)"
    )


@needs_gpg
@pytest.mark.parametrize("encoding", [Encoding.PGP, Encoding.GPG])
def test_parts_are_split_named_and_counted_as_ever(encoding):
    sizes = PartSizes(part_bytes=110_000)
    plain = run(in_pieces(users(10_000), 700), encoding=Encoding.PLAIN, sizes=sizes)
    done = run(in_pieces(users(10_000), 700), encoding=encoding, sizes=sizes, recipient=recipient())
    assert [part.path.rpartition(".")[2] for part in done.result.parts] == [encoding.value] * 2
    assert [
        pair().decrypted(done.storage.files[part.path]) for part in done.result.parts
    ] == plain.texts
    # Whatever packs it, the content is the same, and so is its delivery.
    assert done.result.text_sha256 == plain.result.text_sha256
    assert [part.bytes for part in done.result.parts] == [p.bytes for p in plain.result.parts]


@needs_gpg
@pytest.mark.parametrize("mode", [Mode.SYNC, Mode.OVERWRITE])
@pytest.mark.parametrize("room", [1 << 30, 1])
def test_repeated_lines_are_taken_out_of_what_cannot_be_read_back(mode, room, monkeypatch):
    monkeypatch.setattr(waiting_lines, "_room", lambda: room)
    rows = table([(f"user-{number % 9_000}", "24") for number in range(10_000)])
    spec = replace(TRAITS, mode=mode)

    def formatted(**options):
        return run(in_pieces(rows, 900), DataLineWriter(spec), **options)

    plain = formatted(encoding=Encoding.PLAIN)
    done = formatted(encoding=Encoding.PGP, recipient=recipient())
    assert len(plain.text.splitlines()) == 9_000
    (part,) = done.result.parts
    assert pair().decrypted(done.storage.files[part.path]) == plain.text
    assert done.result.set_aside_by_reason == plain.result.set_aside_by_reason
    # Nothing but encrypted parts, and the rejects, is left in staging.
    assert {path.rpartition(".")[2] for path in done.storage.files} <= {"csv", "pgp"}


@needs_gpg
def test_memory_is_flat():
    to, piece = recipient(), memoryview(os.urandom(1 << 20))
    with PgpPacker(to) as packer:
        packer.compress(piece)
        tracemalloc.start()
        for _ in range(100):
            packer.compress(piece)
        packer.flush()
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
        tracemalloc.stop()


@needs_gpg
def test_a_process_that_was_killed_is_tried_again_and_leaves_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(openpgp.tempfile, "tempdir", str(tmp_path))
    with PgpPacker(recipient()) as packer:
        packer._gpg.send_signal(signal.SIGKILL)
        packer._gpg.wait()
        with pytest.raises(TransientError, match="gpg was ended by signal 9 while it encrypted"):
            packer.compress(memoryview(bytes(4 << 20)))
    assert list(tmp_path.iterdir()) == []


@needs_gpg
def test_a_discarded_part_leaves_no_process_and_no_file(monkeypatch, tmp_path):
    monkeypatch.setattr(openpgp.tempfile, "tempdir", str(tmp_path))
    with PgpPacker(recipient()) as packer:
        packer.compress(memoryview(bytes(1 << 20)))
        (home,) = tmp_path.glob("airflow-am-gpg-*")
        assert home.stat().st_mode & 0o777 == 0o700
    assert packer._gpg.returncode is not None
    assert list(tmp_path.iterdir()) == []
