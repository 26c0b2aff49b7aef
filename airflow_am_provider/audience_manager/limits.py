"""Adobe's numbers. Sizes are bytes; MB and GB are decimal, as on Adobe's pages."""

from __future__ import annotations

from typing import Final

MB: Final = 1_000_000
GB: Final = 1_000_000_000

# inbound-s3-filenames.md, "Line length limits". The newline is not counted.
MAX_LINE_BYTES: Final = 102_400

# inbound-file-contents.md, note under "File Content Syntax".
MAX_LINES_PER_USER: Final = 200

# features/administration/usage-limits.md. faq/faq-privacy.md says 100,000, and that the oldest go
# first.
MAX_TRAITS_PER_USER: Final = 150_000

# features/destinations/people-based-destinations-prerequisites.md.
MAX_HASHED_EMAILS_PER_CRM_ID: Final = 10

# inbound-s3-filenames.md, "Accepted file sizes".
BEST_PART_BYTES: Final = 1 * GB
MAX_PART_BYTES: Final = 5 * GB

# Best compressed size: 200-300 MB (inbound-s3-filenames.md); the middle of it.
BEST_COMPRESSED_PART_BYTES: Final = 250 * MB
# 3 GB on the naming pages, 1 GB on inbound-file-compression.md: the smaller holds on both.
MAX_COMPRESSED_PART_BYTES: Final = 1 * GB
