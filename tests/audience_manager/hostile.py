"""Text that breaks careless code, for property tests."""

from hypothesis import strategies as st

HOSTILE_WORDS = (
    "",
    " ",
    "  ",
    "\r",
    "\n",
    "\r\n",
    "\x00",
    "\x0b",
    "\x1c",
    "\x7f",
    "\x85",
    "\u2028",
    "\xa0",
    "\ufeff",
    "\u200b",
    "NULL",
    "\\N",
    "NaN",
    "nan",
    "1.5E+12",
    '"key"="nan"',
    '"',
    '""',
    ",",
    ",,",
    ":",
    "%3A",
    "%3a",
    "%40",
    "%41",
    "%",
    "=",
    "==",
    "-",
    "+",
    "@",
    "\u00e9",  # é in one piece (NFC)
    "e\u0301",  # é in two (NFD)
    "\U0001f600",
    "\u202eabc",
    "\u05d0\u05d1",
    "jane@example.com",
    "jane%40example.com",
    "a@b",
    "+442079460958",
    "+44 20 7946 0958",
    "d_sid=24",
    "d_unsid=28",
    "d_sid = 5",
    '"d_sid"="5"',
    '"d_sid"="x"',
    '"ic"="a=b"',
    "d_sid=x",
    "28:0",
    "28:-1",
    "28:1",
    "52",
    "ic=52",
    "ic=a b",
    '"ic"="a,b"',
    '"key"="value"',
    '"key"="New York"',
    '"key"=""',
    "key = value",
    "-key=value",
    '"-key"="value"',
    '"key"="a@b.cd"',
    '"key"="x',
    "e4fe9bde-caa0-47b6-908d-ffba3fa184f2",
    "AEBE52E7-03EE-455A-B3C4-E57283966239",
    "00000000-0000-0000-0000-000000000000",
    "07955261652886032950143702505894272138",
    "55e79200c1635b37ad31a378c39feb12f120f116625093a19bc32fff15041149",
    "7XCBNROQJQPYW",
    "ann",
    "4598060374",
)

words = st.sampled_from(HOSTILE_WORDS)
hostile_text = st.lists(words | st.text(max_size=8), max_size=6).map("".join)
_items = st.lists(words, min_size=1, max_size=4).map(",".join)
_first = words | st.lists(words, max_size=3).map("".join)
_line = (
    st.tuples(_first, _items).map("\t".join)
    | st.lists(_first, min_size=1, max_size=4).map("\t".join)
    | hostile_text
)
# Now and then no UTF-8 at all.
hostile_lines = st.one_of(
    _line.map(lambda text: text.encode("utf-8", "surrogatepass")),
    _line.map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.binary(max_size=30),
)
