"""The connection's fields: what holds, and what the messages say when something does not."""

import pytest

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.hooks.settings import CONNECTION_FIELDS, ConnectionSettings

S3 = {"partner_name": "acme", "staging_location": "s3://crm/staging"}
FTP = {"transport": "ftp", "ftp_conn_id": "adobe_ftp", "staging_location": "/data/staging"}


def test_empty_fields_mean_their_defaults() -> None:
    settings = ConnectionSettings.parse({**S3, "environment": "", "bucket": None}, "am")
    assert (settings.environment, settings.transport, settings.bucket) == ("beta", "s3", None)
    assert settings.aws_conn_id == "aws_default"
    assert settings.receipts_sender == "aam-noreply@adobe.com"
    assert settings.receipts_authentication == "if_present"


def test_adobes_environments_have_their_bucket() -> None:
    production = ConnectionSettings.parse({**S3, "environment": "production"}, "am")
    assert production.destination_bucket == "demdex-s2s-clients"
    custom = ConnectionSettings.parse({**S3, "environment": "custom", "bucket": "sandbox"}, "am")
    assert (custom.destination_bucket, custom.adobe) == ("sandbox", None)


@pytest.mark.parametrize("prefix", ["inbound/eu", "/inbound/eu/"])
def test_a_path_may_stand_before_the_partner_name_in_every_environment(prefix: str) -> None:
    for environment in ("production", "beta"):
        extra = {**S3, "environment": environment, "bucket_prefix": prefix}
        settings = ConnectionSettings.parse(extra, "am")
        assert settings.destination_folder == "inbound/eu/acme"
    assert ConnectionSettings.parse(S3, "am").destination_folder == "acme"


def test_ftp_needs_no_partner_name() -> None:
    assert ConnectionSettings.parse(FTP, "am").ftp_directory == "/"


@pytest.mark.parametrize(
    ("written", "meant"),
    [("/in/", "/in"), ("/in", "/in"), ("/", "/"), ("//", "/"), ("/a/b//", "/a/b")],
)
def test_one_folder_is_one_destination_however_it_is_written(written: str, meant: str) -> None:
    settings = ConnectionSettings.parse({**FTP, "ftp_directory": written}, "am")
    assert settings.ftp_directory == meant


@pytest.mark.parametrize("begin", ["", " \n", "-----BEGIN PGP PUBLIC KEY BLOCK-----\nmQIN\n"])
def test_a_secret_key_is_told_to_be_one(begin: str) -> None:
    key = f"{begin}-----BEGIN PGP PRIVATE KEY BLOCK-----\nplanted\n"
    extra = {**S3, "pgp_public_key": key, "pgp_fingerprint": "A" * 40}
    with pytest.raises(ConfigurationError) as caught:
        ConnectionSettings.parse(extra, "am")
    assert str(caught.value) == (
        "connection 'am': pgp_public_key: a secret key, which its owner alone may have; give the "
        "public one, and let its owner take this one for known to others"
    )


def test_every_field_of_the_form_is_a_setting() -> None:
    assert set(CONNECTION_FIELDS) == set(ConnectionSettings.__dataclass_fields__)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (
            {**S3, "pgp_public_key": "/keys/adobe.asc"},
            (
                "connection 'am': pgp_fingerprint: missing, and a public key counts only when it "
                "is pinned; compare the fingerprint with the one that its owner tells you, and "
                "fill it in "
                "(inbound-file-encryption.md)"
            ),
        ),
        (
            {**S3, "pgp_fingerprint": "A" * 40},
            (
                "connection 'am': pgp_public_key: missing, so that nothing would be encrypted, "
                "although pgp_fingerprint names a key"
            ),
        ),
        (
            {**S3, "pgp_public_key": "adobe.asc", "pgp_fingerprint": "A" * 40},
            (
                "connection 'am': pgp_public_key: neither s3://bucket/key, nor an absolute path, "
                "nor a key that begins with -----BEGIN PGP PUBLIC KEY BLOCK-----"
            ),
        ),
        (
            {
                **S3,
                "pgp_public_key": "-----BEGIN PGP PUBLIC KEY BLOCK-----mQIN",
                "pgp_fingerprint": "A" * 40,
            },
            (
                "connection 'am': pgp_public_key: a key that has lost its line ends, as in a field "
                "of one line; put it into a file and name that, or write \\n for each line end in "
                "the extra's JSON"
            ),
        ),
        (
            {**S3, "environment": "prod"},
            "connection 'am': environment: 'prod' is none of production, beta, custom",
        ),
        (
            {**S3, "transport": "ssh"},
            "connection 'am': transport: 'ssh' is none of s3, sftp, ftps, ftp",
        ),
        (
            {"staging_location": "/data"},
            (
                "connection 'am': partner_name: missing; transport s3 puts every file under "
                "PARTNER_NAME/ (inbound-s3-filenames.md)"
            ),
        ),
        (
            {**S3, "partner_name": "a/b"},
            (
                "connection 'am': partner_name: partner name 'a/b': letters, digits, '.', '_' and "
                "'-' only, since it becomes a folder in Adobe's bucket (inbound-s3-filenames.md)"
            ),
        ),
        (
            {**S3, "bucket_prefix": "in/../out"},
            (
                "connection 'am': bucket_prefix: 'in/../out' is no path in a bucket; it is what "
                "stands before the partner name in AWS_directory, such as 'inbound/eu'"
            ),
        ),
        (
            {**S3, "bucket_prefix": "inbound/acme"},
            (
                "connection 'am': bucket_prefix: 'inbound/acme' ends in the partner name, which "
                "follows it by itself; leave that out"
            ),
        ),
        (
            {**S3, "environment": "custom"},
            (
                "connection 'am': bucket: '' is not the name of a bucket; the environment custom "
                "needs one"
            ),
        ),
        (
            {**S3, "bucket": "mine"},
            (
                "connection 'am': bucket: 'mine': the environment beta has its own, "
                "demdex-s2s-clients-sandbox-us-east-1; leave it empty or choose custom"
            ),
        ),
        (
            {"transport": "ftp", "staging_location": "/data"},
            (
                "connection 'am': ftp_conn_id: missing; transport ftp needs the Airflow connection "
                "of the account on the host"
            ),
        ),
        (
            {**FTP, "ftp_directory": "/in/../out"},
            "connection 'am': ftp_directory: '/in/../out' is not an absolute path without '..'",
        ),
        (
            {**FTP, "ftp_directory": "inbound"},
            (
                "connection 'am': ftp_directory: 'inbound' is not an absolute path without '..'; "
                "write '/inbound'"
            ),
        ),
        (
            {"partner_name": "acme"},
            (
                "connection 'am': staging_location: missing; it says where deliveries are "
                "prepared: s3://bucket/prefix, or an absolute path that every worker shares"
            ),
        ),
        (
            {**S3, "staging_location": "staging"},
            (
                "connection 'am': staging_location: 'staging' is neither s3://bucket/prefix nor an "
                "absolute path"
            ),
        ),
        (
            {**S3, "receipts_location": "s3://"},
            (
                "connection 'am': receipts_location: 's3://' is neither s3://bucket/prefix nor an "
                "absolute path"
            ),
        ),
        (
            {**S3, "receipts_sender": 'x" OR ALL "'},
            "connection 'am': receipts_sender: 'x\" OR ALL \"' is not an e-mail address",
        ),
        (
            {**S3, "receipts_authentication": "require"},
            (
                "connection 'am': receipts_authserv_id: missing; with receipts_authentication "
                "'require' it must be the name that your mail server writes first in "
                "Authentication-Results, or 'unnamed' where it writes none (Microsoft 365); "
                "anybody can write that header (RFC 8601)"
            ),
        ),
        (
            {**S3, "receipts_partner_id": "ID:7"},
            (
                "connection 'am': receipts_partner_id: 'ID:7' is not a number; it is the one that "
                "receipts greet, as 7 in 'Dear Adobe Partner: (ID:7)'"
            ),
        ),
        (
            {**S3, "cross_device_data_sources": "478; 901"},
            (
                "connection 'am': cross_device_data_sources: '478; 901' is no list of numbers "
                "with commas between them, such as '478, 567'"
            ),
        ),
        ({**S3, "bucket": 5}, "connection 'am': bucket: 5 is no text"),
        (
            {**S3, "staging_encryption": "AES256", "staging_kms_key_id": "alias/crm"},
            (
                "connection 'am': staging_kms_key_id: a key of KMS, but staging_encryption is "
                "AES256; choose aws:kms, or leave it empty"
            ),
        ),
        (
            {**S3, "staging_kms_key_id": "alias/crm"},
            (
                "connection 'am': staging_kms_key_id: a key of KMS, but staging_encryption is "
                "none; choose aws:kms, or leave it empty"
            ),
        ),
        (
            {**FTP, "staging_encryption": "aws:kms"},
            (
                "connection 'am': staging_encryption: aws:kms is done by S3, and the staging "
                "location '/data/staging' is a directory; encrypt its disk, or stage in a bucket"
            ),
        ),
        (
            {**S3, "staging_encryption": "AES128"},
            "connection 'am': staging_encryption: 'AES128' is none of none, AES256, aws:kms",
        ),
        (
            {**S3, "suppression_sql": "opted_out"},
            (
                "connection 'am': suppression_conn_id: missing; name the connection that "
                "suppression_sql runs on"
            ),
        ),
        (
            {
                **S3,
                "suppression_sql": "a",
                "suppression_source": "/b",
                "suppression_conn_id": "c",
            },
            "connection 'am': suppression_sql: a query, and a file as well; name one of them",
        ),
        (
            {**S3, "suppression_hashed": "yes"},
            (
                "connection 'am': suppression: a list is described and none is named, so nobody "
                "would be left out"
            ),
        ),
        (
            {**S3, "suppression_source": "opted_out.csv"},
            (
                "connection 'am': suppression_source: 'opted_out.csv' is neither "
                "s3://bucket/prefix nor an absolute path"
            ),
        ),
    ],
)
def test_what_is_wrong_is_said_whole(extra: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ConnectionSettings.parse(extra, "am")
    assert str(caught.value) == message


def test_a_field_that_is_not_there() -> None:
    with pytest.raises(ConfigurationError) as caught:
        ConnectionSettings.parse({**S3, "stagging": "x"}, "am")
    assert str(caught.value).startswith(
        "connection 'am': stagging: there is no such field; there are environment, staging_location"
    )
