"""Sensors: thin, they wait for Audience Manager's signs of life."""
