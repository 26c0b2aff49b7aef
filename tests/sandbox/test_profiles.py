"""Who has which trait after which files."""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_am_provider.audience_manager.environments import BETA
from airflow_am_provider.audience_manager.hashing import hash_email
from airflow_am_provider.sandbox import Account, Profiles, SignalRule
from tests.sandbox.conftest import Bench, T, uuid

Synced = Callable[..., None]
GAID = "e4fe9bde-caa0-47b6-908d-ffba3fa184f2"


def test_adobes_sample_lines_give_and_take_traits(bench: Bench, synced: Synced) -> None:
    synced("DBwFoc3dhfMNCFBh", "ZZZfoc3dhfMNCFBh")
    bench.take(f"ftp_dpm_478_{T}.sync", ["DBwFoc3dhfMNCFBh\td_sid=28,d_sid=30"])

    entry = bench.take(
        f"ftp_dpm_478_{T + 1}.sync",
        ["DBwFoc3dhfMNCFBh\td_sid=24,d_unsid=28", 'ZZZfoc3dhfMNCFBh\tic=52,"city"="New York"'],
    )

    profiles = bench.profiles()
    assert profiles.traits(478, "DBwFoc3dhfMNCFBh") == {"24", "30"}
    assert profiles.has_trait(478, "DBwFoc3dhfMNCFBh", 24)
    assert profiles.signals(478, "ZZZfoc3dhfMNCFBh") == {("ic", "52"), ("city", "New York")}
    assert (entry.totals.stored_records, entry.totals.total_removed_traits) == (2, 1)
    assert (entry.totals.total_realized_traits, entry.totals.total_signals) == (1, 4)
    assert entry.totals.total_unused_signals == 2


def test_a_file_like_adobes_sample_is_read_whole(bench: Bench, synced: Synced) -> None:
    # Windows line ends, an empty item and no newline at the end, as in the published sample.
    synced("1060413022", "1060413110", dpid=1234)
    text = (
        '1060413022\t"ACCOUNT_TYPE"="HAC","Plans"="123",,"CSAT"="0.0000"\r\n'
        '1060413110\t"ACCOUNT_TYPE"="HAC","ServiceExpiryDate"="2012-08-04 00:00:00.000"'
    )

    entry = bench.take("ftp_dpm_1234_1445374061.overwrite", text)

    assert (entry.totals.records_received, entry.totals.stored_records) == (2, 2)
    assert bench.profiles().signals(1234, "1060413022") == {
        ("ACCOUNT_TYPE", "HAC"),
        ("Plans", "123"),
        ("CSAT", "0.0000"),
    }


def test_the_two_sample_sync_files_chain(bench: Bench) -> None:
    device = "68079982765673198504052656074456196039"
    crm_id = "XYZ3017D_2kzkTOXkFYIAgwbajoqWRcqkXl-TTrj6E4njaMR38"
    bench.take("adobe_id_0_12345_1476312152.sync", [f"{device}\t{crm_id}"])
    second = bench.take(
        "adobe_id_12345_67890_1477846458.sync", [f"{crm_id}\t4598060374", "never-seen\t4581274262"]
    )

    assert (
        second.totals.stored_records,
        second.totals.no_matching_aam_id,
        second.totals.total_devices,
    ) == (1, 1, 1)
    bench.take(f"ftp_dpm_67890_{T}.sync", ["4598060374\td_sid=24", "4581274262\td_sid=24"])
    profiles = bench.profiles()
    assert profiles.mapped(67890, "4598060374") == {(0, device)}
    assert profiles.has_trait(67890, "4598060374", 24)
    assert profiles.has_trait(0, device, 24, linked=True)
    assert profiles.has_trait(12345, crm_id, 24, linked=True)
    assert not profiles.has_trait(12345, crm_id, 24)
    assert not profiles.has_trait(67890, "4581274262", 24)


def test_ids_that_lead_in_a_circle_end(bench: Bench) -> None:
    bench.take(f"adobe_id_0_1_{T}.sync", [f"{uuid(1)}\ta"])
    bench.take(f"adobe_id_1_2_{T}.sync", ["a\tb"])
    bench.take(f"adobe_id_2_1_{T}.sync", ["b\ta"])

    assert bench.profiles().mapped(2, "b") == {(0, uuid(1))}
    assert bench.profiles().traits(1, "a", linked=True) == frozenset()


def test_a_user_who_was_never_synchronised_is_skipped(bench: Bench) -> None:
    entry = bench.take(f"ftp_dpm_478_{T}.sync", ["ann\td_sid=1"])

    assert (entry.totals.no_matching_aam_id, entry.totals.stored_records) == (1, 0)
    assert list(bench.profiles().dump()) == []


def test_a_cross_device_data_source_keeps_records_until_the_sync_comes(bench: Bench) -> None:
    bench.configure(Account(cross_device=frozenset({478})))
    entry = bench.take(f"ftp_dpm_478_{T}.sync", ["ann\td_sid=1"])
    assert (
        entry.totals.no_matching_aam_id,
        entry.totals.stored_records,
        entry.totals.total_devices,
    ) == (1, 1, 0)

    bench.take(f"adobe_id_0_478_{T}.sync", [f"{uuid(1)}\tann"])
    again = bench.take(f"ftp_dpm_478_{T + 1}.sync", ["ann\td_sid=1"])
    assert (again.totals.no_matching_aam_id, again.totals.stored_records) == (0, 1)

    assert bench.profiles().has_trait(0, uuid(1), 1, linked=True)


def test_a_platforms_device_matches_by_itself(bench: Bench) -> None:
    entry = bench.take(
        f"ftp_dpm_20914_478_{T}.sync", [f"{GAID}\td_sid=24", f"{GAID.upper()}\td_sid=24"]
    )

    assert (entry.totals.stored_records, entry.totals.invalid_device_id) == (1, 1)
    assert entry.totals.no_matching_aam_id == 1
    assert (
        entry.totals.receipt(
            paths=(entry.name,), partner_id=7, job_start=bench.now, job_end=bench.now
        ).stored_records
        == 1
    )
    assert entry.totals.total_devices == 1
    profiles = bench.profiles()
    assert profiles.traits(20914, GAID, target_dpid=478) == {"24"}
    assert profiles.traits(20914, GAID, target_dpid=479) == frozenset()


def test_the_beta_environment_maps_nobody(bench: Bench) -> None:
    bench.configure(Account(environment=BETA, cross_device=frozenset({478})))
    entries = [
        bench.take(f"adobe_id_0_478_{T}.sync", [f"{uuid(1)}\tann"]),
        bench.take(f"c2c_id_478_9_{T}.sync", [f"ann\t{hash_email('a@b.example')}"]),
        bench.take(f"ftp_dpm_478_{T}.sync", ["ann\td_sid=1", "broken"]),
    ]

    assert [entry.totals.no_matching_aam_id for entry in entries] == [1, 1, 1]
    assert [entry.totals.stored_records for entry in entries] == [0, 0, 0]
    assert entries[2].totals.format_errors == 1
    assert list(bench.profiles().dump()) == []


def test_hashed_emails_belong_to_a_crm_id_and_make_no_device_of_it(bench: Bench) -> None:
    first, second = hash_email("a@b.example"), hash_email("c@d.example")

    entry = bench.take(f"c2c_id_478_9_{T}.sync", [f"ann\t{first}\t{second}"])

    assert entry.totals.stored_records == 1
    assert bench.profiles().hashed_emails(478, "ann") == {first, second}
    assert bench.take(f"ftp_dpm_478_{T}.sync", ["ann\td_sid=1"]).totals.no_matching_aam_id == 1


def test_each_lost_line_is_counted_once_under_its_label(bench: Bench) -> None:
    entry = bench.take(
        f"adobe_id_0_20914_478_{T}.sync",
        [
            f"{uuid(1)}\t{GAID}\tann",
            f"123\t{GAID}\tbob",
            f"{uuid(2)}\tnot-a-gaid\tcal",
            "123\tnot-a-gaid\tdan",
            f"{uuid(3)}\t{GAID}",
            "",
        ],
    )

    totals = entry.totals
    assert (totals.records_received, totals.stored_records) == (6, 1)
    assert (totals.invalid_aam_id, totals.invalid_device_id, totals.format_errors) == (2, 1, 2)


def test_overwrite_replaces_the_traits_of_its_target_only(bench: Bench, synced: Synced) -> None:
    synced("ann", "bob", "cal")
    bench.take(f"ftp_dpm_478_{T}.sync", ["ann\td_sid=1,d_sid=2", "bob\td_sid=1", "cal\td_sid=1"])
    bench.take(f"ftp_dpm_478_500_{T}.sync", ["ann\td_sid=9"])

    entry = bench.take(f"ftp_dpm_478_{T}.overwrite", ["ann\td_sid=2,d_unsid=9", "cal\t"])

    profiles = bench.profiles()
    assert profiles.traits(478, "ann") == {"2", "9"}
    assert profiles.traits(478, "bob") == {"1"}
    assert profiles.traits(478, "cal") == frozenset()
    assert (entry.totals.total_removed_traits, entry.totals.stored_records) == (2, 2)


def test_each_part_of_an_overwrite_replaces_by_itself(bench: Bench, synced: Synced) -> None:
    synced("ann")
    bench.take(f"ftp_dpm_478_{T}.sync", ["ann\td_sid=1"])

    bench.take(f"ftp_dpm_478_{T}.overwrite.1.gz", ["ann\td_sid=2", "ann\td_sid=3"])
    bench.take(f"ftp_dpm_478_{T}.overwrite.2.gz", ["ann\td_sid=4"])

    assert bench.profiles().traits(478, "ann") == {"4"}


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_the_parts_of_an_overwrite_are_taken_in_a_random_order(bench: Bench, seed: int) -> None:
    bench.configure(shuffle=seed)
    for part in range(1, 9):
        bench.put(f"ftp_dpm_478_{T}.overwrite.{part}", [f"ann\td_sid={part}"])
        bench.put(f"ftp_dpm_478_{T + 1}.sync.{part}", [f"ann\td_sid={part}"])

    bench.run()
    bench.restart()

    names = [entry.name for entry in bench.sandbox.ledger.files()]
    overwrites, syncs = ([name for name in names if mode in name] for mode in ("overw", "sync"))
    assert overwrites != sorted(overwrites)
    assert (syncs == sorted(syncs)) is (seed is None)


def test_a_trait_that_is_not_onboarded_fails_validation(bench: Bench, synced: Synced) -> None:
    synced("ann", "bob")
    bench.configure(Account(traits={478: frozenset({"24"})}))

    entry = bench.take(
        f"ftp_dpm_478_{T}.sync", ["ann\td_sid=24,d_sid=25,d_unsid=26", "bob\td_sid=25"]
    )

    totals = entry.totals
    assert (totals.total_traits_failed_validation, totals.total_users_failed_validation) == (3, 2)
    assert (totals.no_trait_realized, totals.stored_records, totals.total_realized_traits) == (
        1,
        1,
        1,
    )
    assert bench.profiles().traits(478, "ann") == {"24"}


def test_rules_make_traits_of_signals(bench: Bench, synced: Synced) -> None:
    synced("ann", "bob")
    rule = SignalRule(dpid=478, key="City", value="Rome", trait="77")
    bench.configure(Account(rules=(rule,)))

    entry = bench.take(f"ftp_dpm_478_{T}.sync", ['ann\tcity=ROME,"age"="40"', "bob\tcity=Oslo"])

    totals = entry.totals
    assert (
        totals.total_realized_traits,
        totals.total_unused_signals,
        totals.no_trait_realized,
    ) == (1, 2, 1)
    assert bench.profiles().traits(478, "ann") == {"77"}
    assert bench.profiles().signals(478, "bob") == frozenset()


def test_ids_are_kept_byte_for_byte(bench: Bench, synced: Synced) -> None:
    ids = ["Ann", "ann", "a\u0301", "\u00e1", "👩‍👧", "مرحبا", " ann", '"ann"', "a\\nb", "{}"]
    synced(*ids)

    bench.take(f"ftp_dpm_478_{T}.sync", [f"{one}\td_sid={n}" for n, one in enumerate(ids)])

    profiles = bench.profiles()
    assert [profiles.traits(478, one) for one in ids] == [{str(n)} for n in range(len(ids))]


def test_only_200_lines_of_a_user_are_read(bench: Bench, synced: Synced) -> None:
    synced("ann")

    entry = bench.take(f"ftp_dpm_478_{T}.sync", [f"ann\td_sid={n}" for n in range(1, 204)])

    assert (entry.totals.format_errors, entry.totals.stored_records) == (3, 200)
    assert len(bench.profiles().traits(478, "ann")) == 200


def test_files_larger_than_a_batch_are_read_to_the_end(bench: Bench, synced: Synced) -> None:
    ids = [f"user-{n}" for n in range(25_000)]
    synced(*ids)

    entry = bench.take(f"ftp_dpm_478_{T}.overwrite.gz", [f"{one}\td_sid=24" for one in ids])

    assert entry.totals.stored_records == entry.totals.total_devices == 25_000
    assert bench.profiles().has_trait(478, ids[-1], 24)


USERS = ("ann", "bob", "cal")
lines = st.tuples(
    st.sampled_from((*USERS, "nobody")),
    st.lists(st.tuples(st.booleans(), st.sampled_from("123456")), min_size=1, max_size=4),
)
files = st.tuples(
    st.sampled_from(("sync", "overwrite")),
    st.sampled_from((478, 500)),
    st.lists(st.lists(lines, min_size=1, max_size=6), min_size=1, max_size=3),
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(deliveries=st.lists(files, max_size=6))
def test_profiles_agree_with_a_model_of_dictionaries(
    tmp_path_factory: pytest.TempPathFactory, deliveries: list
) -> None:
    bench = Bench(tmp_path_factory.mktemp("model"))
    devices = [f"{uuid(n)}\t{user}" for n, user in enumerate(USERS)]
    bench.take(f"adobe_id_0_478_{T}.sync", devices)
    model: dict[tuple[str, int], set[str]] = defaultdict(set)
    for number, (mode, target, parts) in enumerate(deliveries, start=1):
        name = f"ftp_dpm_478_{target}_{T + number}.{mode}"
        for split, part in enumerate(parts, start=1):
            bench.put(f"{name}.{split}", [_printed(*line) for line in part])
        bench.run()
        for entry in bench.sandbox.ledger.files()[-len(parts) :]:
            _apply(model, mode, target, parts[int(entry.name.rpartition(".")[2]) - 1])

    profiles = bench.profiles()
    for user in USERS:
        for target in (478, 500):
            assert profiles.traits(478, user, target_dpid=target) == model[user, target]
    assert profiles.traits(478, "nobody") == frozenset()
    bench.restart()


def _printed(user: str, items: list[tuple[bool, str]]) -> str:
    return f"{user}\t" + ",".join(f"d_{'' if has else 'un'}sid={trait}" for has, trait in items)


def _apply(model: dict, mode: str, target: int, lines: list) -> None:
    if mode == "sync":
        for user, items in lines:
            for has, trait in items:
                (model[user, target].add if has else model[user, target].discard)(trait)
        return
    given_traits: dict[str, set[str]] = defaultdict(set)
    for user, items in lines:
        given_traits[user] |= {trait for has, trait in items if has}
    for user, traits in given_traits.items():
        # A user whose lines give nothing is not touched: no trait realized.
        if traits:
            model[user, target] = traits


def test_dumps_are_equal_whatever_the_order_of_independent_files(tmp_path: Path) -> None:
    digests = set()
    for place, order in enumerate(((0, 1, 2), (2, 1, 0), (1, 2, 0))):
        folder = tmp_path / str(place)
        folder.mkdir()
        bench = Bench(folder)
        bench.take(f"adobe_id_0_478_{T}.sync", [f"{uuid(n)}\tuser-{n}" for n in range(9)])
        for number in order:
            users = [f"user-{n}" for n in range(number * 3, number * 3 + 3)]
            bench.take(f"ftp_dpm_478_{T + number}.sync", [f"{u}\td_sid=1,a=b" for u in users])
        digests.add(bench.profiles().digest())
        rows = list(bench.profiles().dump())
        bench.restart()

    assert len(digests) == 1
    assert rows[0] == ("link", "0", uuid(0), "478", "user-0")
    assert ("trait", "478", "user-8", "478", "1") in rows
    assert rows[-1] == ("signal", "478", "user-8", "478", "a", "b")


def test_profiles_can_be_asked_before_there_is_anything() -> None:
    with Profiles(":memory:") as profiles:
        assert not profiles.has_trait(478, "ann", 24)
        assert profiles.mapped(478, "ann") == frozenset()
        assert profiles.traits(0, uuid(1), linked=True) == frozenset()
