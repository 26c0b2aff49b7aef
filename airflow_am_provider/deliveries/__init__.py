"""Deliveries: what is staged, queued, sent and acknowledged, and who decides it."""
