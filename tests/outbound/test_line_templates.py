"""Lines by templates: Adobe's own examples, and Arrow's columns against one line at a time."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.outbound.line_templates import LineTemplate
from airflow_am_provider.outbound.template_lines import more_fields, read_template_lines

# outbound-macro-examples.md, each with its output as the page prints it.
UUID = "07955261652886032950143702505894272138"
JSON = (
    '{"AdvertiserId":"<PIDALIAS>", "DataCenterId": 2,"TDID":"<DP_UUID>", '
    '"Data":[<SEGMENT_LIST:{seg|<OPEN_CURLY_BRACKET>"Name":"<seg.alias>"<CLOSE_CURLY_BRACKET>}; '
    'separator=","><if(SEGMENT_LIST && REMOVED_SEGMENT_LIST)><COMMA><endif><REMOVED_SEGMENT_LIST:'
    '{seg|<OPEN_CURLY_BRACKET>"Name":"<seg.alias>", "TtlInMinutes":0<CLOSE_CURLY_BRACKET>}; '
    'separator=",">]}'
)
BEGIN = (
    '{"AdvertiserId":"12345", "DataCenterId": 2,"TDID":"9099e8fe-abab-5114-abaa-28bdaa0539ca", '
    '"Data":['
)
OTHER = "00088008579683653741516297509717335000"
EXAMPLES = {
    "<DP_UUID><TAB><UUID>": (f"123456\t{UUID}", "123456", [], [], {"aam_uuid": UUID}),
    "<UUID><TAB><DP_UUID_LIST;separator=TAB>": (
        f"{UUID}\tDP_UUID1\tDP_UUID2\tDP_UUID3",
        UUID,
        [],
        [],
        {"other_ids": ["DP_UUID1", "DP_UUID2", "DP_UUID3"]},
    ),
    '<DP_UUID> <REMOVED_SEGMENT_LIST;separator=" ">': (
        "123456 105955 101183 101180 101179",
        "123456",
        [],
        [105955, 101183, 101180, 101179],
        {},
    ),
    JSON: (
        BEGIN
        + '{"Name":"4321"},{"Name":"987", "TtlInMinutes":0},{"Name":"654", "TtlInMinutes":0}]}',
        "9099e8fe-abab-5114-abaa-28bdaa0539ca",
        [4321],
        [987, 654],
        {},
    ),
    "<PID><TAB><UUID><TAB><DP_UUID><TAB><SET_ATTRIBUTES><TAB><OPT_OUT><TAB><SEGMENT_LIST:"
    "{seg|<seg.type>,<seg.alias>,<OUTPUT_ATTRIBUTE_VALUE>,<seg.lastUpdateTime>&}>": (
        f"1159\t{OTHER}\t17t0aj01b120hp\t1\t0\t5,103714,1,1344114661000&5,103713,1,1343250661000",
        "17t0aj01b120hp",
        [103714, 103713],
        [],
        {"aam_uuid": OTHER},
    ),
    '<PID><TAB><DP_UUID><TAB><SET_ATTRIBUTES><TAB><TRAIT_LIST;separator="|">': (
        "1131\t12345\t1\t123|456|789",
        "12345",
        [],
        [],
        {"traits": [123, 456, 789]},
    ),
    '<UUID><TAB><DPUUIDS; format="dpids=1111,2222|maxMappings=1|format=json">': (
        f'{UUID}\t[["1111","BBBB"],["2222","CCCC"]]',
        UUID,
        [],
        [],
        {"id_mappings": '[["1111","BBBB"],["2222","CCCC"]]'},
    ),
    # outbound-template-macros.md: the separator stands within the elements as well.
    '<MCID>;<SEGMENT_LIST:{seg|<seg.type>,<seg.sid>}; separator=",">': (
        "4711;5,24,5,26",
        "4711",
        [24, 26],
        [],
        {},
    ),
}


@pytest.mark.parametrize("text", EXAMPLES)
def test_adobes_own_examples(text: str) -> None:
    line, user, segments, removed, more = EXAMPLES[text]
    template = LineTemplate.parse(text)
    found = read_template_lines(f"{line}\n".encode(), template)
    assert found.bad == ()
    assert found.ids.to_pylist() == [user]
    assert found.segments.to_pylist() == [segments]
    assert found.removed.to_pylist() == [removed]
    columns = zip(more_fields(template), found.more, strict=True)
    assert {field.name: values.to_pylist()[0] for field, values in columns} == more


def test_what_stands_between_two_lists_is_there_only_if_both_have_elements() -> None:
    template = LineTemplate.parse(JSON)
    begin = '{"AdvertiserId":"1", "DataCenterId": 2,"TDID":"a", "Data":['
    one, gone = '{"Name":"7"}', '{"Name":"8", "TtlInMinutes":0}'
    for data in ("", one, gone, f"{one},{gone}"):
        assert template.values(f"{begin}{data}]}}") is not None
    for data in (",", f"{one},", f",{gone}", f"{one}{gone}"):
        assert template.values(f"{begin}{data}]}}") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('<UUID> <SEGMENT_LIST;separator=" "> <TRAIT_LIST;separator=" ">', "the line 'A 1 1 1'"),
        ("<UUID><DP_UUID>", "the line 'AAA' can be read in two ways"),
        ('<PID><SEGMENT_LIST;separator=","><TAB><UUID>', "can be read in two ways"),
        ("<UUID> <SEGMENT_LIST>", "<SEGMENT_LIST> has no separator"),
        ("<PID>", "it names no user"),
        ("<UUID><UUID>", "<UUID> stands twice"),
        ("<UUID> <SEGMENT>", "<SEGMENT> is no macro of a line"),
        ("<UUID> <segments", "what begins with '<segments' is no macro"),
        ('<UUID> <SEGMENT_LIST:{seg|<seg.status>};separator=",">', "<seg.sid> is expected"),
        ('<UUID> <SEGMENT_LIST:{seg|<s.sid>};separator=",">', "seg is what stands before the bar"),
        ('<UUID> <DPUUIDS; format="dpids=1">', "format=json"),
        ("<UUID>\n<TAB>", "one line of at most"),
        ('<UUID> <if(TRAIT_LIST && SEGMENT_LIST)>,<endif><SEGMENT_LIST;separator=",">', "TRAIT"),
    ],
)
def test_what_cannot_be_read_back_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match="line_template") as refused:
        LineTemplate.parse(text)
    assert message in str(refused.value)


_TEMPLATES = [LineTemplate.parse(text) for text in EXAMPLES]
_PIECES = st.sampled_from(
    [
        b"A",
        b"1",
        b"24",
        b"\t",
        b" ",
        b",",
        b"|",
        b"&",
        b'"',
        b"[",
        b"\r\n",
        b"\n",
        b"\xff",
        b"\xc3\xb6",
    ]
    + [f"{example[0]}\n".encode() for example in EXAMPLES.values()]
)


@settings(max_examples=300)
@given(st.sampled_from(_TEMPLATES), st.lists(_PIECES, max_size=12))
def test_any_block_is_read_as_line_by_line(template: LineTemplate, pieces: list[bytes]) -> None:
    block = b"".join(pieces) or b"\n"
    found = read_template_lines(block, template)
    expected, bad = [], []
    for number, line in enumerate(block.removesuffix(b"\n").split(b"\n")):
        try:
            values = template.values(line.removesuffix(b"\r").decode())
        except UnicodeDecodeError:
            values = None
        if values is None:
            bad.append(number)
        else:
            expected.append(values[template.id_macro])
    assert found.ids.to_pylist() == expected
    assert [line.number for line in found.bad] == bad
    assert found.count == len(expected) + len(bad)
    assert len(found.segments) == len(found.removed) == len(expected)
