"""The tables of parameters and options: made from the code, and every one in its place."""

import shutil
from pathlib import Path
from runpy import run_path

import pytest

from airflow_am_provider.operators.upload import UploadOperator
from tests.docs_pages import DOCS, ROOT, first_codes, page, section

REFERENCE = run_path(str(ROOT / "scripts" / "reference.py"))


@pytest.fixture
def docs(tmp_path):
    """A copy of the pages that may be spoilt."""
    for name in ("operators.md", "cli.md", "sandbox.md", "reference.md"):
        shutil.copy(DOCS / name, tmp_path / name)
    return tmp_path


def _changed(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_the_pages_have_what_the_code_says():
    assert REFERENCE["main"](["--check"]) == 0, "run make docs"


def test_a_page_that_says_something_else_is_found_and_mended(docs, capsys):
    whole = (docs / "operators.md").read_text()
    _changed(docs / "operators.md", "| `on_older` | `'refuse'`", "| `on_older` | `'send'`")
    assert REFERENCE["main"](["--check", "--docs", str(docs)]) == 1
    assert "operators.md: differs from the code" in capsys.readouterr().out
    assert (docs / "operators.md").read_text() != whole
    assert REFERENCE["main"](["--docs", str(docs)]) == 0
    assert (docs / "operators.md").read_text() == whole


def test_a_page_without_a_table_is_found(docs, capsys):
    _changed(docs / "cli.md", "<!-- reference: airflow-am check -->", "")
    assert REFERENCE["main"](["--check", "--docs", str(docs)]) == 1
    assert "airflow-am check: no page has this table" in capsys.readouterr().out


def test_a_public_method_that_stands_nowhere_is_found(docs, capsys):
    _changed(
        docs / "reference.md", "| `AudienceManagerHook.resend(", "| `AudienceManagerHook.other("
    )
    assert REFERENCE["main"](["--check", "--docs", str(docs)]) == 1
    assert "reference.md: differs from the code" in capsys.readouterr().out


def test_a_public_name_without_a_docstring_is_an_error():
    class Silent:
        def speak(self): ...

    with pytest.raises(REFERENCE["WrongWords"], match="no docstring"):
        list(REFERENCE["_rows_of"]("Silent", Silent))


def test_every_operator_and_sensor_has_its_table_under_its_heading():
    text = page("operators.md")
    for name in set(first_codes(text, "class")) - {"deliver"}:
        assert f"<!-- reference: {name} -->" in section(text, f"## {name}"), name


def test_what_is_not_said_of_a_parameter_is_an_error():
    class Lacking(UploadOperator):
        """Say nothing.

        :param gone: What is no parameter any more.
        """

        def __init__(self, *, new: int = 0, **kwargs: object) -> None:
            super().__init__(**kwargs)

    Lacking.__module__ = "airflow_am_provider.operators.lacking"
    with pytest.raises(REFERENCE["WrongWords"], match=r"Lacking: .* lacks \['gone', 'new'\]"):
        REFERENCE["parameters_of"](Lacking)


def test_what_is_a_template_has_to_be_marked_so():
    class Unmarked(UploadOperator):
        """Mark nothing.

        :param new: What is new.
        """

        template_fields = (*UploadOperator.template_fields, "new")

        def __init__(self, *, new: int = 0, **kwargs: object) -> None:
            super().__init__(**kwargs)

    Unmarked.__module__ = "airflow_am_provider.operators.unmarked"
    with pytest.raises(REFERENCE["WrongWords"], match=r"Unmarked, new: '\(templated\)'"):
        REFERENCE["parameters_of"](Unmarked)


def test_an_option_uses_the_words_of_its_parameter():
    action = REFERENCE["options_of"]("format data")["--dpid"]
    action.help = "the number of something"
    with pytest.raises(REFERENCE["WrongWords"], match="'the number of something' is no sentence"):
        REFERENCE["help_of"]("format data", action)


def test_every_option_has_help():
    action = REFERENCE["options_of"]("sandbox")["--once"]
    action.help = None
    with pytest.raises(REFERENCE["WrongWords"], match="airflow-am sandbox: once has no help"):
        REFERENCE["help_of"]("sandbox", action)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Known endings are .csv.gz and .pq.", "Known endings are `.csv.gz` and `.pq`."),
        ("Either s3://bucket/key, or a path.", "Either `s3://bucket/key`, or a path."),
        (
            "It follows from --target-dpid. Well-known.",
            "It follows from `--target-dpid`. Well-known.",
        ),
        ("One of * and ?: a|b", r"One of `*` and `?`: a\|b"),
    ],
)
def test_what_is_typed_becomes_code(text, told):
    assert REFERENCE["in_code"](text) == told
