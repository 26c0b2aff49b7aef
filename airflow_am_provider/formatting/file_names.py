"""What files beside the parts are called."""

from __future__ import annotations

from typing import Final

#: The file of rows that were set aside, where nobody asks for another name.
REJECTS_FILE: Final = "rejects.csv"
#: What a delivery says, without its users: data sources, traits, keys of signals.
CONTENTS_FILE: Final = "contents.json"
