"""Fixtures of this folder's tests."""

from tests.connections import bucket, connect

__all__ = ["bucket", "connect"]
