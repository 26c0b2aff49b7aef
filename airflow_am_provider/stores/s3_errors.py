"""What S3's refusals mean, in words that say what to do."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import (
    ConfigurationError,
    DataError,
    TransientError,
)
from airflow_am_provider.audience_manager.names import printable

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
    "the AWS connection's keys or role lack the right to do this, or, where they may not list "
    "the bucket, there is no such object"
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
    "PermanentRedirect": "the bucket is in another region; set region_name in its extra",
    "AuthorizationHeaderMalformed": "the region is wrong; set region_name in its extra",
    "AccessControlListNotSupported": "the bucket takes no ACLs; Adobe's buckets do",
}


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
def s3_errors(action: str, url: str) -> Iterator[None]:
    """Turn boto's errors into this package's.

    :param action: what was tried, as in ``cannot write``.
    :param url: the object or bucket it was tried on.
    :raises ConfigurationError: when a person must change keys, rights, names or region.
    :raises TransientError: when the server or the way to it failed.
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise _from_answer(action, url, error.response) from None
    except (BotoCoreError, Boto3Error, OSError) as error:
        raise _from_local(action, url, error) from None


def error_code(response: dict[str, Any]) -> str:
    """The name S3 gives an error, such as ``NoSuchKey``; of a HEAD it is only the status."""
    return str(response.get("Error", {}).get("Code", "")) or str(_status(response))


def _status(response: dict[str, Any]) -> int:
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _from_answer(action: str, url: str, response: dict[str, Any]) -> Exception:
    code = error_code(response)
    # The answer's own text is left out: a server may repeat the request in it, keys and all.
    said = f"cannot {action} {printable(url)!r}: S3 answered {printable(code)}"
    if code in _LATER or _status(response) >= 500 or _status(response) == 429:
        return TransientError(said)
    advice = _ADVICE.get(code, "check the AWS connection, the bucket and the rights")
    return ConfigurationError(f"{said}: {advice}")


def _from_local(action: str, url: str, error: Exception) -> Exception:
    from botocore import exceptions as boto

    where = f"cannot {action} {printable(url)!r}"
    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError):
        return ConfigurationError(
            f"{where}: the AWS connection gives no keys and no role; fill in its login and "
            f"password or its role_arn"
        )
    wrong = (
        boto.DataNotFoundError,
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
        return ConfigurationError(
            f"{where}: {name}; check the AWS connection and the bucket's name"
        )
    return TransientError(f"{where}: {name}; the server did not answer, or the line broke")
