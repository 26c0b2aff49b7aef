"""The way back: what Adobe sends, from where it puts it into Parquet files and tables."""
