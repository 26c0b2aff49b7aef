"""Triggers: what waits in the triggerer on behalf of a sensor."""
