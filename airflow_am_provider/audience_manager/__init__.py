"""Adobe Audience Manager's contract for batch files, as plain Python.

No I/O, no clock, no Airflow: standard library only. Each rule stands once, with its page
in Adobe's documentation.
"""
