"""Which batches are complete: control files before, after, twice; half-written files; parts."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from airflow_am_provider.audience_manager.errors import DataError
from airflow_am_provider.audience_manager.outbound.control_files import (
    ControlFile,
    parse_control_file,
)
from airflow_am_provider.outbound.batches import (
    NameForm,
    QuietWatch,
    days_with_several,
    missing_days,
)
from airflow_am_provider.outbound.sorting import Arrivals, arrivals
from airflow_am_provider.storage.folder import ListedFile

NOW = datetime(2026, 11, 28, tzinfo=UTC)
ROOT = "S3_1234_20914_full_1486140844000"


def listed(**sizes: int) -> list[ListedFile]:
    return [ListedFile(name, size, NOW) for name, size in sizes.items()]


def control(name: str, **sizes: int) -> ControlFile:
    files = [{"FileName": file, "FileByteSize": size} for file, size in sizes.items()]
    return parse_control_file(json.dumps({"Files": files}).encode(), name)


def look(
    files: dict[str, int],
    controls: dict[str, ControlFile | DataError] | None = None,
    *,
    needs_control: bool = True,
    form: NameForm = NameForm(),  # noqa: B008  # frozen
) -> Arrivals:
    return arrivals(listed(**files), controls or {}, form, needs_control=needs_control)


PARTS = {f"{ROOT}.sync.gz": 7, f"{ROOT}001.sync.gz": 8}


def test_a_control_file_without_its_files_is_no_complete_batch() -> None:
    (batch,) = look({}, {"c.info": control(f"{ROOT}.info", **PARTS)}).batches
    assert batch.lacks == (f"{ROOT}.sync.gz has not come", f"{ROOT}001.sync.gz has not come")


def test_a_batch_is_complete_when_each_listed_file_has_its_size() -> None:
    said: dict[str, ControlFile | DataError] = {"c.info": control(f"{ROOT}.info", **PARTS)}
    (half,) = look({**PARTS, f"{ROOT}001.sync.gz": 3}, said).batches
    assert half.lacks == (f"{ROOT}001.sync.gz has 3 of 8 bytes",)
    (more,) = look({**PARTS, f"{ROOT}001.sync.gz": 9}, said).batches
    assert "9 bytes, its control file says 8" in more.lacks[0]
    (whole,) = look(PARTS, said).batches
    assert whole.lacks == ()
    assert whole.batch_id == ROOT


def test_files_without_their_control_file_wait_for_it() -> None:
    found = look({f"{ROOT}001.sync.gz": 8})
    assert found.batches == ()
    assert "its control file has not come" in found.passed_over[f"{ROOT}001.sync.gz"]


def test_a_control_file_that_cannot_be_read_yet_is_waited_for() -> None:
    found = look(PARTS, {f"{ROOT}.info": DataError("still being written")})
    assert found.batches == ()
    assert found.passed_over[f"{ROOT}.info"] == "still being written"


def test_the_control_files_own_name_may_say_another_mode() -> None:
    name = ROOT.replace("full", "iter") + ".info"
    (batch,) = look(PARTS, {name: control(name, **PARTS)}).batches
    assert (batch.batch_id, batch.mode, batch.lacks) == (ROOT, "full", ())
    assert "which counts" in batch.remarks[0]


def test_two_control_files_of_one_batch_are_one_batch() -> None:
    names = (f"{ROOT}.info", ROOT.replace("full", "iter") + ".info")
    (batch,) = look(PARTS, {name: control(name, **PARTS) for name in names}).batches
    assert batch.lacks == ()


def test_two_control_files_that_contradict_each_other_hold_the_batch() -> None:
    other = ROOT.replace("full", "iter") + ".info"
    files = {f"{ROOT}.sync.gz": 7}
    found = look(
        PARTS, {f"{ROOT}.info": control(f"{ROOT}.info", **PARTS), other: control(other, **files)}
    )
    (batch,) = found.batches
    assert batch.lacks != ()


def test_half_written_names_are_passed_over() -> None:
    found = look({f"{ROOT}.sync.gz.tmp": 3}, needs_control=False)
    assert found.batches == ()
    assert "still being written" in found.passed_over[f"{ROOT}.sync.gz.tmp"]


def test_without_control_files_a_part_that_is_left_out_is_missed() -> None:
    form = NameForm(timestamp_digits=13)
    files = {f"{ROOT}{part}.sync": 1 for part in ("", "001", "003")}
    (batch,) = look(files, needs_control=False, form=form).batches
    assert batch.lacks == ("part 002 has not come",)


@pytest.mark.parametrize("needs_control", [True, False])
def test_what_is_no_name_either_way_is_not_said_to_be_of_a_batch(needs_control: bool) -> None:
    name = "export_full_1486140844001.csv"  # its digits can be read in two ways
    found = look({name: 1}, needs_control=needs_control)
    assert "'export' stands for destination, which is a number" in found.passed_over[name]
    assert found.undecided == found.unlisted == ()


MAYBE = "S3_1234_20914_full_1486140844001"  # ten digits and part 001, or thirteen


@pytest.mark.parametrize("second", ["-1", "001"])
def test_a_file_that_may_be_the_batchs_own_is_waited_for_until_it_is_decided(second: str) -> None:
    files = {f"{MAYBE}.sync.gz": 1, f"{MAYBE}{second}.sync.gz": 1}
    (batch,) = look(files, needs_control=False).batches
    (lack,) = batch.lacks
    assert f"'{MAYBE}.sync.gz': its timestamp can be read as" in lack
    assert "Say which by timestamp_digits" in lack
    form = NameForm(timestamp_digits=13)
    (whole,) = look(files, needs_control=False, form=form).batches
    assert (whole.lacks, len(whole.files)) == ((), 2)
    # Nor is one complete of which a part is still being written.
    files[f"{MAYBE}002.sync.gz.tmp"] = 1
    (more,) = look(files, needs_control=False, form=form).batches
    assert "still being written" in more.lacks[0]


def test_without_control_files_the_first_file_is_missed() -> None:
    form = NameForm(timestamp_digits=13)
    for parts in (("001", "002"), ("-1", "-2")):
        files = {f"{ROOT}{part}.sync": 1 for part in parts}
        (batch,) = look(files, needs_control=False, form=form).batches
        lacks = batch.lacks
        assert lacks[0].startswith("the first file, which has no part's number, has not come")
    # By a template, a timestamp has ten digits unless it is said.
    template = "<SYNC_TYPE>_<ORDER_ID>_<DPID>_<SYNC_MODE>_<TIMESTAMP>SPLITNUM.sync"
    (batch,) = look(
        {f"{ROOT}.sync": 1}, needs_control=False, form=NameForm(template=template)
    ).batches
    assert batch.lacks == lacks
    # An account whose parts begin with -1, as in the sample of transfer-control-files.md.
    other = ROOT.replace("1486140844000", "1486227244000")
    found = look({**files, f"{other}-1.sync": 1}, needs_control=False, form=form).batches
    assert [batch.lacks for batch in found] == [(), ()]
    found = look({**files, f"{other}.sync": 1}, needs_control=False, form=form).batches
    assert [batch.lacks for batch in found] == [lacks, ()]


def test_one_file_in_two_batches_holds_both() -> None:
    first, second = "S3_1234_20914_full_1486140844", "S3_1234_20914_full_1486140844001"
    files = {f"{first}.sync": 1, f"{second}.sync": 2}
    said: dict[str, ControlFile | DataError] = {
        f"{first}.info": control(f"{first}.info", **files),
        f"{second}.info": control(f"{second}.info", **{f"{second}.sync": 2}),
    }
    found = look(files, said).batches
    assert [batch.batch_id for batch in found] == [first, second]
    for batch in found:
        (lack,) = batch.lacks
        assert lack.startswith(f"{second}.sync is listed by {first}.info and by {second}.info;")


def test_other_destinations_batches_are_not_looked_at() -> None:
    form = NameForm(destination=99, timestamp_digits=13)
    assert look(PARTS, needs_control=False, form=form).batches == ()


def test_a_batch_sent_again_is_another_version() -> None:
    said: dict[str, ControlFile | DataError] = {"c.info": control(f"{ROOT}.info", **PARTS)}
    files = [ListedFile(name, size, NOW, "etag") for name, size in PARTS.items()]
    again = [file._replace(etag="other") for file in files]
    (first,) = arrivals(files, said, NameForm(), needs_control=True).batches
    (second,) = arrivals(again, said, NameForm(), needs_control=True).batches
    assert first.version != second.version


def test_quiet_is_what_was_seen_not_what_a_server_says() -> None:
    watch = QuietWatch(timedelta(minutes=10))
    form = NameForm(timestamp_digits=13)
    (batch,) = look({f"{ROOT}.sync": 1}, needs_control=False, form=form).batches
    (grown,) = look({f"{ROOT}.sync": 2}, needs_control=False, form=form).batches
    assert not watch.is_quiet(batch, NOW)
    assert not watch.is_quiet(grown, NOW + timedelta(minutes=10))
    assert not watch.is_quiet(grown, NOW + timedelta(minutes=19))
    assert watch.is_quiet(grown, NOW + timedelta(minutes=20))


def test_days_left_out_and_days_with_two_are_told() -> None:
    day = 1486080000000  # 3 February 2017
    stamps = [day, day + 1000, day + 2 * 86_400_000]
    files = {f"S3_1234_20914_full_{stamp}.sync": 1 for stamp in stamps}
    batches = look(files, needs_control=False, form=NameForm(timestamp_digits=13)).batches
    assert missing_days(batches) == {"1234_20914": ["2017-02-04"]}
    assert days_with_several(batches) == {"1234_20914": ["2017-02-03"]}


@pytest.mark.parametrize("name", ["notes.txt", "S3_1_2_full.sync"])
def test_files_that_are_none_of_adobes_are_named(name: str) -> None:
    assert "no name of a segment file" in look({name: 1}, needs_control=False).passed_over[name]
