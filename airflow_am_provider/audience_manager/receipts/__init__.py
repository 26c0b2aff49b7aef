"""Receipts: the mails in which Audience Manager says what became of files."""
