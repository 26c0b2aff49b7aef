"""Measures this project beside what else could do the work: ``make bench``."""
