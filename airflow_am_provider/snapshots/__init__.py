"""Snapshots: what has changed since the last acknowledged extract."""
