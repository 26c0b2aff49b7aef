"""Every rule that a row, a line or a file can break: its code, its sentence and its page.

The codes are what users see as reasons in reports and rejects files, and what
``airflow-am check`` prints. The vectorised writer and the line-by-line reader share
nothing else: each finds violations in its own way and names them from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

CONTENTS = "inbound-file-contents.md"
ID_SYNC = "id-sync-file-based.md"
NAMES = "inbound-s3-filenames.md"
OVERVIEW = "batch-data-transfer-overview.md"
IDS = "reference/ids-in-aam.md"
PEOPLE_BASED = "features/destinations/people-based-destinations-prerequisites.md"
INGESTION = "faq/faq-inbound-data-ingestion.md"
PROJECT = "docs/choices.md"


class Rule(StrEnum):
    """Codes of the rules. The value is the stable public name."""

    # User IDs
    EMPTY_ID = "empty_id"
    ID_CONTROL_CHARACTER = "id_control_character"
    ID_COLON = "id_colon"
    ID_URL_ENCODED = "id_url_encoded"
    ID_FORM = "id_form"
    ID_HYPHEN = "id_hyphen"
    ID_OPTED_OUT = "id_opted_out"
    ID_PLACEHOLDER = "id_placeholder"
    ID_ROUNDED = "id_rounded"
    PERSONAL_DATA = "personal_data"
    SUPPRESSED = "suppressed"
    # Items
    NO_ITEMS = "no_items"
    EMPTY_ITEM = "empty_item"
    ITEM_SYNTAX = "item_syntax"
    TRAIT_NOT_NUMERIC = "trait_not_numeric"
    TRAIT_TOO_LARGE = "trait_too_large"
    BARE_NUMBER = "bare_number"
    IC_CODE = "ic_code"
    SIGNAL_KEY = "signal_key"
    KEY_DASH = "key_dash"
    UNUSABLE_KEY = "unusable_key"
    VALUE_CONTROL_CHARACTER = "value_control_character"
    VALUE_COMMA_OR_QUOTE = "value_comma_or_quote"
    VALUE_NOT_A_NUMBER = "value_not_a_number"
    UNSID_IN_OVERWRITE = "unsid_in_overwrite"
    # Lines
    INVALID_UTF8 = "invalid_utf8"
    BYTE_ORDER_MARK = "byte_order_mark"
    NO_TAB = "no_tab"
    MORE_THAN_ONE_TAB = "more_than_one_tab"
    COLUMN_COUNT = "column_count"
    TRAILING_SPACE = "trailing_space"
    EMPTY_LINE = "empty_line"
    LINE_TOO_LONG = "line_too_long"
    WINDOWS_LINE_END = "windows_line_end"
    NO_FINAL_NEWLINE = "no_final_newline"
    # All lines of a file
    DUPLICATE_LINE = "duplicate_line"
    TOO_MANY_LINES_PER_USER = "too_many_lines_per_user"
    JOINED_LINE_TOO_LONG = "joined_line_too_long"
    USER_INCOMPLETE = "user_incomplete"
    USER_IN_TWO_PARTS = "user_in_two_parts"
    TOO_MANY_TRAITS_PER_USER = "too_many_traits_per_user"
    TOO_MANY_HASHED_EMAILS = "too_many_hashed_emails"
    HASHED_EMAIL_FORM = "hashed_email_form"
    EMAIL_FORM = "email_form"
    ID_SYNC_MASTER = "id_sync_master"
    # Files
    FILE_NAME = "file_name"
    EMPTY_FILE = "empty_file"
    FILE_TOO_LARGE = "file_too_large"
    BROKEN_COMPRESSION = "broken_compression"
    EXTENSION = "extension"
    ENCRYPTED = "encrypted"
    GZIP_AND_PGP = "gzip_and_pgp"
    PARTNER_FORM = "partner_form"


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleText:
    """What a rule says and where it is written.

    :param sentence: the rule in one sentence.
    :param page: Adobe's page, relative to ``batch-data-transfer-explained/`` unless it
        has a folder of its own; or this project's page of choices.
    :param loses_nothing: True when a row set aside for it takes no information away, so
        that it is counted but not held against ``max_set_aside``.
    """

    sentence: str
    page: str
    loses_nothing: bool = False


RULES: dict[Rule, RuleText] = {
    Rule.EMPTY_ID: RuleText(
        sentence="a user ID is never empty, nor made of blanks alone", page=CONTENTS
    ),
    Rule.ID_CONTROL_CHARACTER: RuleText(
        sentence="a user ID holds no tab, newline or other control character", page=CONTENTS
    ),
    Rule.ID_COLON: RuleText(sentence="a DPUUID holds neither ':' nor '%3A'", page=CONTENTS),
    Rule.ID_URL_ENCODED: RuleText(
        sentence="IDs in ID sync files are not URL-encoded", page=ID_SYNC
    ),
    Rule.ID_FORM: RuleText(sentence="a device ID has the form of its platform", page=IDS),
    Rule.ID_HYPHEN: RuleText(
        sentence="a MAID, TIFA or Vizio IFA is letters and digits; hyphens are not confirmed",
        page=IDS,
    ),
    Rule.ID_OPTED_OUT: RuleText(
        sentence="an all-zero advertising ID stands for a device that opted out", page=PROJECT
    ),
    Rule.ID_PLACEHOLDER: RuleText(
        sentence=r"NULL, \N, None, NaN, true and the like are no user ID", page=PROJECT
    ),
    Rule.ID_ROUNDED: RuleText(
        sentence="a number such as 1.23457E+12 has lost digits and is no user ID", page=PROJECT
    ),
    Rule.PERSONAL_DATA: RuleText(
        sentence="no e-mail address or phone number is sent in the clear", page=OVERVIEW
    ),
    Rule.SUPPRESSED: RuleText(
        sentence="nothing is sent about a user who is on the suppression list",
        page=PROJECT,
        loses_nothing=True,
    ),
    Rule.NO_ITEMS: RuleText(
        sentence="a data line has at least one item after its user ID",
        page=CONTENTS,
        loses_nothing=True,
    ),
    Rule.EMPTY_ITEM: RuleText(sentence="no item between two commas is empty", page=PROJECT),
    Rule.ITEM_SYNTAX: RuleText(
        sentence="an item is d_sid=N, d_unsid=N, ic=CODE or key=value", page=CONTENTS
    ),
    Rule.TRAIT_NOT_NUMERIC: RuleText(sentence="trait IDs are digits only", page=CONTENTS),
    Rule.TRAIT_TOO_LARGE: RuleText(
        sentence="a trait ID that is kept in a snapshot is at most 4,294,967,295", page=PROJECT
    ),
    Rule.BARE_NUMBER: RuleText(
        sentence="a bare number is an ic value in one table and a trait ID in another",
        page=CONTENTS,
    ),
    Rule.IC_CODE: RuleText(
        sentence="an ic code holds no comma, quote, equals sign or control character", page=CONTENTS
    ),
    Rule.SIGNAL_KEY: RuleText(
        sentence="a key is not empty, starts with no dash and holds no comma, quote or equals sign",
        page=CONTENTS,
    ),
    Rule.KEY_DASH: RuleText(sentence="a dash at the start of a key is ignored", page=CONTENTS),
    Rule.UNUSABLE_KEY: RuleText(
        sentence="a key that a trait's rule can use has letters, digits, dashes and underscores, "
        "and not digits alone",
        page="features/traits/trait-key-name-requirements.md",
    ),
    Rule.VALUE_CONTROL_CHARACTER: RuleText(
        sentence="a value holds no tab, newline or other control character", page=CONTENTS
    ),
    Rule.VALUE_COMMA_OR_QUOTE: RuleText(
        sentence="a comma or quote inside a value has no documented meaning", page=PROJECT
    ),
    Rule.VALUE_NOT_A_NUMBER: RuleText(sentence="a value is not NaN or an infinity", page=PROJECT),
    Rule.UNSID_IN_OVERWRITE: RuleText(
        sentence="d_unsid is ignored in an .overwrite file", page=CONTENTS
    ),
    Rule.INVALID_UTF8: RuleText(sentence="files are UTF-8 or ASCII", page=NAMES),
    Rule.BYTE_ORDER_MARK: RuleText(
        sentence="no file and no ID starts with a byte order mark", page=PROJECT
    ),
    Rule.NO_TAB: RuleText(sentence="a tab separates user ID and items", page=CONTENTS),
    Rule.MORE_THAN_ONE_TAB: RuleText(
        sentence="one tab, and only one, separates user ID and items", page=CONTENTS
    ),
    Rule.COLUMN_COUNT: RuleText(
        sentence="a line has as many IDs as the file name has DPIDs", page=ID_SYNC
    ),
    Rule.TRAILING_SPACE: RuleText(
        sentence="a line that ends with a tab or space is not processed", page=ID_SYNC
    ),
    Rule.EMPTY_LINE: RuleText(sentence="a line is not empty", page=CONTENTS),
    Rule.LINE_TOO_LONG: RuleText(
        sentence="a line has at most 102,400 bytes, the newline not counted", page=NAMES
    ),
    Rule.WINDOWS_LINE_END: RuleText(sentence="lines end with a newline alone", page=PROJECT),
    Rule.NO_FINAL_NEWLINE: RuleText(sentence="the last line ends with a newline", page=PROJECT),
    Rule.DUPLICATE_LINE: RuleText(
        sentence="a line that stands in the delivery already says nothing new",
        page=PROJECT,
        loses_nothing=True,
    ),
    Rule.TOO_MANY_LINES_PER_USER: RuleText(
        sentence="at most 200 lines of one user ID are read", page=CONTENTS
    ),
    Rule.TOO_MANY_TRAITS_PER_USER: RuleText(
        sentence="a profile holds 150,000 traits, and the oldest go first",
        page="features/administration/usage-limits.md",
    ),
    Rule.JOINED_LINE_TOO_LONG: RuleText(
        sentence="all that an .overwrite says of a user fits on one line of 102,400 bytes",
        page=PROJECT,
    ),
    Rule.USER_INCOMPLETE: RuleText(
        sentence="an .overwrite says nothing of a user of whom another row breaks a rule",
        page=PROJECT,
    ),
    Rule.USER_IN_TWO_PARTS: RuleText(
        sentence="all lines of a user of an .overwrite stand in one part, since nothing says that "
        "parts replace together",
        page=INGESTION,
    ),
    Rule.TOO_MANY_HASHED_EMAILS: RuleText(
        sentence="at most 10 hashed e-mails are read for one CRM ID", page=PEOPLE_BASED
    ),
    Rule.HASHED_EMAIL_FORM: RuleText(
        sentence="a hashed e-mail is SHA-256 as 64 lower-case hexadecimal digits", page=PEOPLE_BASED
    ),
    Rule.EMAIL_FORM: RuleText(
        sentence="what is to be hashed is an e-mail address, not hashed already", page=PEOPLE_BASED
    ),
    Rule.ID_SYNC_MASTER: RuleText(
        sentence="the first IDs of an adobe_id file are device IDs, those of a c2c_id file CRM IDs",
        page=ID_SYNC,
    ),
    Rule.FILE_NAME: RuleText(sentence="a file name follows Adobe's grammar", page=NAMES),
    Rule.EMPTY_FILE: RuleText(sentence="an empty file is invalid", page=NAMES),
    Rule.FILE_TOO_LARGE: RuleText(
        sentence="a file has at most 5 GB uncompressed and 1 GB compressed", page=NAMES
    ),
    Rule.BROKEN_COMPRESSION: RuleText(
        sentence="a .gz file is whole gzip", page="inbound-file-compression.md"
    ),
    Rule.EXTENSION: RuleText(
        sentence="the extension says how a file is packed", page="inbound-file-compression.md"
    ),
    Rule.ENCRYPTED: RuleText(
        sentence="an encrypted file cannot be looked into", page="inbound-file-encryption.md"
    ),
    Rule.GZIP_AND_PGP: RuleText(
        sentence="a file is packed by gzip or by PGP, never by both",
        page="inbound-file-encryption.md",
    ),
    Rule.PARTNER_FORM: RuleText(
        sentence="a file of Oracle Data Cloud has a form of its own and is not looked into",
        page="custom-partner-integrations.md",
    ),
}
