"""Fixtures of this folder's tests."""

from tests.storage.conftest import folder, s3_folder

__all__ = ["folder", "s3_folder"]
