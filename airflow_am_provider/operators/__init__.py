"""Operators: thin, they only assign when they are built."""
