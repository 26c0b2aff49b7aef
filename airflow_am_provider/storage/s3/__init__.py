"""A folder in S3."""
