"""Sources: rows from databases and files, all of them or a partition."""
