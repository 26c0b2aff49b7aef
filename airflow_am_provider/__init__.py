"""Deliver CRM data to Adobe Audience Manager from Apache Airflow, and prove that it arrived.

The folders, and which of them may import which, are described in ``CONTRIBUTING.md``.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
