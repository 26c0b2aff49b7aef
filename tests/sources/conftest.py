"""Fixtures of this folder's tests."""

from tests.connections import audience_manager, bucket, connect

__all__ = ["audience_manager", "bucket", "connect"]
