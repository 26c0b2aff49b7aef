"""What Audience Manager sends: segment files, their control files, and Customer Data Feeds."""
