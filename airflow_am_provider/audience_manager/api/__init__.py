"""Adobe's REST API as plain Python: what is asked, and what the answers say."""
