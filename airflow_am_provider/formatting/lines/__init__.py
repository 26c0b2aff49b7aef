"""Lines: from columns to the lines of a file."""
