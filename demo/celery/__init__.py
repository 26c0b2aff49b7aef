"""The services of ``docker-compose.yaml`` without containers: ``make serve-celery``, and a test."""
