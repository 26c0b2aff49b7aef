"""Uploads: what is sent of a delivery, where to, and the journal of it."""
