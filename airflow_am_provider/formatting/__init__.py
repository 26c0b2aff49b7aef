"""Rows in, checked and formatted parts out: column batches, bounded memory, no Airflow."""
