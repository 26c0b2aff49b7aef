"""Repeats: finding lines and users that come twice, in bounded memory."""
