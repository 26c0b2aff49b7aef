"""Suppression: users of whom nothing is sent, and what was sent of them before."""
