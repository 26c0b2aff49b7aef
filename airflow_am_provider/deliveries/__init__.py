"""Deliveries: staged, queued, guarded, uploaded, acknowledged, cleaned away."""
