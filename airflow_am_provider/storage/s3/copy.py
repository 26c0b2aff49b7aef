"""Copying an object within S3: the bytes go from bucket to bucket and are not sent from here.

They are read here all the same, while S3 copies them, to hold their checksum against the
manifest's: S3 itself knows no SHA-256 of an object that was written in pieces. All of it is of
one version, and the copy does not appear before the checksum is right.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.storage.s3.access import access_of
from airflow_am_provider.storage.s3.errors import WrongKeys, s3_errors
from airflow_am_provider.storage.s3.multipart import PiecesGone

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_am_provider.storage.s3.folder import S3Folder
    from airflow_am_provider.storage.s3.multipart import MultipartWriter

_logger = logging.getLogger(__name__)

# S3 takes pieces from 5 MiB to 5 GiB, 10,000 of them at most.
_PIECE_BYTES: Final = 64 << 20
_AWS: Final = ".amazonaws.com"


@dataclass(frozen=True, kw_only=True)
class Copy:
    """One object that is to be copied.

    :param source: the folder that it lies in.
    :param path: where in it.
    :param writer: writes the copy; its account reads the source.
    :param size: bytes.
    """

    source: S3Folder
    path: str
    writer: MultipartWriter
    size: int

    def run(self, check: Callable[[], None]) -> bool:
        """Copy; False, and nothing was changed, where S3 does not do it for these accounts.

        :param check: reads the source while S3 copies; the copy appears when it raises nothing.
        :raises TransientError: when the server fails or the line breaks.
        :raises AlreadyThere: when the writer is to write ``only_new``, and there is an object.
        """
        writer = self.writer
        if not self.size or not _is_one_service(self.source.client, writer.client):
            return False
        try:
            etag = self._source_etag()
            writer.begin()
        except WrongKeys:
            # Sending from here fails by them as well, and names the destination, whose they are.
            return False
        except ConfigurationError as refusal:
            return self._refused(refusal)
        try:
            with writer.sending():
                for number, start in enumerate(range(0, self.size, _PIECE_BYTES), 1):
                    end = min(start + _PIECE_BYTES, self.size)
                    writer.copy(
                        number,
                        CopySource=self._origin,
                        CopySourceIfMatch=etag,
                        CopySourceRange=f"bytes={start}-{end - 1}",
                    )
                # Refused, if at all, before anything is read.
                writer.wait()
                check()
            writer.complete()
        except (ConfigurationError, PiecesGone) as refusal:
            writer.abort()
            return self._refused(refusal)
        except BaseException:
            writer.abort()
            raise
        return True

    @property
    def _origin(self) -> dict[str, str]:
        return {"Bucket": self.source.bucket, "Key": self.source.key(self.path)}

    def _source_etag(self) -> str:
        """Look at the source with the account that is to read it.

        By a byte of it: to a HEAD, S3 does not say why it refuses.
        """
        client = self.writer.client
        with s3_errors("read", f"{self.source.url}/{self.path}", access_of(client)):
            found = client.get_object(**self._origin, Range="bytes=0-0")
            found["Body"].close()
            return str(found["ETag"])

    def _refused(self, refusal: Exception) -> bool:
        _logger.info("Not copied within S3, so sent from here: %s", refusal)
        return False


def _is_one_service(source: Any, target: Any) -> bool:
    """Whether both clients speak to the same S3; AWS copies between its regions too."""
    urls = [str(client.meta.endpoint_url) for client in (source, target)]
    return urls[0] == urls[1] or all(url.endswith(_AWS) for url in urls)
