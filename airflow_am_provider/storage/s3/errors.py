"""What S3's refusals mean, in words that say what to do."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from airflow_am_provider.audience_manager.errors import (
    ConfigurationError,
    DataError,
    TransientError,
)
from airflow_am_provider.audience_manager.names import printable
from airflow_am_provider.storage.s3.access import UNKNOWN, Access

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: A server that does not know a request, or a condition of one, says so with one of these.
NO_SUCH_REQUEST: Final = frozenset({"NotImplemented", "501"})
# Names by which S3 and servers like it say "later", apart from any status from 500 on.
_LATER: Final = frozenset(
    {
        # All that a HEAD says of keys that have expired, or of another request that is at it: its
        # answers have no body with a name.
        "400",
        "409",
        "ConditionalRequestConflict",
        "ExpiredToken",  # a role's keys; the next attempt gets new ones
        "OperationAborted",
        "RequestTimeout",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_NO_RIGHT: Final = (
    "these keys or this role lack the right to do this, or, where they may not list the bucket, "
    "there is no such object"
)
_ADVICE: Final = {
    "AccessDenied": _NO_RIGHT,
    "403": _NO_RIGHT,
    "AllAccessDisabled": "the account is disabled; Adobe disables keys unused for 100 days",
    "InvalidAccessKeyId": "the access key is unknown; Adobe disables keys unused for 100 days",
    "SignatureDoesNotMatch": "the secret key does not belong to the access key",
    "NoSuchBucket": "there is no such bucket; check its name and the environment",
    "NoSuchKey": "there is no such object",
    "404": "there is no such bucket or object",
    "PermanentRedirect": "the bucket is in another region; set {region}",
    "AuthorizationHeaderMalformed": "the region is wrong; set {region}",
    "AccessControlListNotSupported": "the bucket takes no ACLs; Adobe's buckets do",
}
_WRONG_KEYS: Final = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch"})
# Requests by which boto asks STS for keys, before it asks S3 for anything.
_FOR_KEYS: Final = frozenset(
    {
        "AssumeRole",
        "AssumeRoleWithSAML",
        "AssumeRoleWithWebIdentity",
        "GetFederationToken",
        "GetSessionToken",
    }
)
# Settings that boto names in an error. Its other texts may repeat values, tokens among them.
_SETTINGS: Final = ("profile", "region_name", "service_name")


class WrongKeys(ConfigurationError):
    """The keys are not known, whatever is asked with them."""


class AlreadyThere(DataError):
    """Something has the key that was to be written for the first time.

    :param message: which key.
    :param was_retried: whether the client had asked before, and got no answer: it may have been
        written then.
    """

    def __init__(self, message: str, *, was_retried: bool = False) -> None:
        super().__init__(message)
        self.was_retried = was_retried


def write_new(write: Callable[..., Any], *, only_new: bool, **arguments: Any) -> None:
    """Write an object; with a condition, only where there is none.

    An answer that is lost, or a worker that is thought dead, makes two writes of one, and whoever
    reads the bucket takes the second for another file. A server that knows no conditions, and says
    so, gets the write without one.

    :param write: boto3's ``put_object`` or ``complete_multipart_upload``.
    :param only_new: whether there is a condition.
    :raises AlreadyThere: when there is an object.
    """
    from botocore.exceptions import ClientError

    if only_new:
        try:
            write(**arguments, IfNoneMatch="*")
        except ClientError as error:
            code = error_code(error.response)
            if code in {"PreconditionFailed", "412"}:
                raise AlreadyThere(
                    f"{printable(arguments['Key'])!r} is there already",
                    was_retried=bool(error.response["ResponseMetadata"].get("RetryAttempts")),
                ) from None
            if code not in {"NotImplemented", "501"}:
                raise
        else:
            return
    write(**arguments)


@contextmanager
def s3_errors(action: str, url: str, access: Access = UNKNOWN) -> Iterator[None]:
    """Turn boto's errors into this package's.

    :param action: what was tried, as in ``cannot write``.
    :param url: the object or bucket it was tried on; empty for the settings themselves.
    :param access: whose settings it was tried with.
    :raises ConfigurationError: when a person must change keys, rights, names or region.
    :raises TransientError: when the server or the way to it failed.
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise _from_answer(_where(action, url, access), error, access) from None
    except (BotoCoreError, Boto3Error, OSError) as error:
        raise _from_local(_where(action, url, access), error, access) from None


def _where(action: str, url: str, access: Access) -> str:
    if not url:
        return f"cannot {action} {access.who}"
    said = f"cannot {action} {printable(url)!r}"
    return said if access.who == UNKNOWN.who else f"{said} with {access.who}"


def error_code(response: dict[str, Any]) -> str:
    """The name S3 gives an error, such as ``NoSuchKey``; of a HEAD it is only the status."""
    return str(response.get("Error", {}).get("Code") or _status(response))


def _status(response: dict[str, Any]) -> int:
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _from_answer(where: str, error: Any, access: Access) -> Exception:
    code = error_code(error.response)
    asked = error.operation_name
    # The answer's own text is left out: a server may repeat the request in it, keys and all.
    said = f"{where}: S3 answered {printable(code)}"
    if asked in _FOR_KEYS:
        said = f"{where}: STS, asked for keys by {asked}, answered {printable(code)}"
    if code in _LATER or _status(error.response) >= 500 or _status(error.response) == 429:
        return TransientError(said)
    if asked in _FOR_KEYS:
        return ConfigurationError(
            f"{said}: check the keys and the role_arn of {access.who}, and whether these keys may "
            f"take that role"
        )
    advice = _ADVICE.get(code, f"check {access.who}, the bucket and the rights")
    kind = WrongKeys if code in _WRONG_KEYS else ConfigurationError
    return kind(f"{said}: {advice.format(region=access.region)}")


def _from_local(where: str, error: Exception, access: Access) -> Exception:
    from botocore import exceptions as boto

    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError):
        return ConfigurationError(f"{where}: there are no keys and no role; {access.keys}")
    wrong = (
        boto.DataNotFoundError,
        boto.EndpointProviderError,
        boto.InvalidEndpointConfigurationError,
        boto.InvalidRegionError,
        boto.NoRegionError,
        boto.ParamValidationError,
        boto.ProfileNotFound,
        boto.UnknownServiceError,
        boto.ValidationError,
    )
    name = type(error).__name__
    if isinstance(error, wrong):
        known = [f"{key} {error.kwargs[key]!r}" for key in _SETTINGS if key in error.kwargs]
        said = printable(", ".join([name, *known]))
        return ConfigurationError(f"{where}: {said}; check {access.who} and the bucket's name")
    return TransientError(f"{where}: {_no_answer(error, access)}")


def _no_answer(error: Exception, access: Access) -> str:
    """Who did not answer, and what may be the cause: S3, Amazon's or not, STS, or a proxy."""
    name, urls = type(error).__name__, getattr(error, "kwargs", {})
    if "proxy_url" in urls:
        return (
            f"the proxy {_host(urls['proxy_url'])} does not answer or lets nothing through "
            f"({name}); check HTTPS_PROXY and NO_PROXY"
        )
    host = _host(urls.get("endpoint_url"))
    if not host:
        return f"{name}; the server did not answer, or the line broke"
    said = f"no answer from {host} ({name})"
    server = urlsplit(access.server)
    own = urlsplit(host)
    if (
        access is not UNKNOWN
        and (own.hostname, own.port) != (server.hostname, server.port)
        and (not (own.hostname or "").endswith(f".{server.hostname}"))
    ):
        return f"{said}, which is asked for the keys of a role first (STS); is there a way to it?"
    if (own.hostname or "").endswith((".amazonaws.com", ".amazonaws.com.cn")):
        return f"{said}; is there a way to it from here (network, name server, proxy, firewall)?"
    return f"{said}; is {access.endpoint} right, and does the server there run?"


def _host(url: object) -> str:
    """A URL without path and query, which name objects, and without a user's name and password.

    >>> _host("http://user:secret@127.0.0.1:9000/bucket/key?x=1")
    'http://127.0.0.1:9000'
    """
    parts = urlsplit(str(url or ""))
    return printable(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}") if parts.netloc else ""
