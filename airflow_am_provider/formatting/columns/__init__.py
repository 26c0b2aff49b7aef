"""Columns of rows as bytes, and the rules that their values are checked by."""
