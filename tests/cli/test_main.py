"""The command line as a whole: help, wrong use, what it imports, broken pipes."""

import subprocess
import sys

import pytest

from airflow_am_provider import __version__
from airflow_am_provider.cli import main

PYTHON = [sys.executable, "-m", "airflow_am_provider.cli"]


@pytest.mark.parametrize("argv", [["--help"], ["check", "--help"], ["format", "--help"],
                                  ["format", "data", "--help"], ["format", "id-sync", "--help"],
                                  ["receipt", "--help"], ["sandbox", "--help"]])  # fmt: skip
def test_help_is_there_for_every_command(argv, capsys):
    assert main(argv) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("usage: airflow-am")
    assert printed.err == ""


def test_the_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"airflow-am {__version__}\n"


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (
            [],
            "airflow-am: the following arguments are required: COMMAND; see airflow-am --help",
        ),
        (
            ["check"],
            ("airflow-am check: the following arguments are required: PATH; see airflow-am check "
            "--help"),
        ),
        (
            ["check", "--jsn", "x"],
            "airflow-am: unrecognized arguments: --jsn; see airflow-am --help",
        ),
        (
            ["check", "nowhere.sync"],
            "airflow-am: 'nowhere.sync': there is no such file or directory",
        ),
        (["check", "s3://"], "airflow-am: 's3://': s3://bucket/key is expected"),
        (
            ["receipt", "nowhere.eml"],
            "airflow-am: 'nowhere.eml': there is no such file or directory",
        ),
        (
            ["receipt", "x", "--manifest", "nowhere.json"],
            "airflow-am: 'nowhere.json': there is no such file or directory",
        ),
        (
            ["format"],
            ("airflow-am format: the following arguments are required: KIND; see airflow-am format "
            "--help"),
        ),
        (
            ["format", "data", "--dpid", "x", "--id-column", "id", "in.csv", "--out", "out"],
            ("airflow-am format data: argument --dpid: 'x' is not a whole number; see airflow-am "
            "format data --help"),
        ),
    ],
)  # fmt: skip
def test_wrong_use_is_one_sentence_and_exit_2(argv, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(argv) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", f"{sentence}\n")


def test_an_empty_directory_is_wrong_use(tmp_path, capsys):
    assert main(["check", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"airflow-am: '{tmp_path}': there is no file to look at\n"


def test_wrong_aws_settings_are_one_sentence(monkeypatch, capsys):
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert main(["check", "s3://crm-staging/parts"]) == 2
    assert capsys.readouterr().err == (
        "airflow-am: cannot reach 's3://crm-staging' with this machine's AWS settings: "
        "ProfileNotFound, profile 'nobody'; check this machine's AWS settings and the bucket's "
        "name\n"
    )


@pytest.mark.parametrize("command", ["check", "receipt"])
def test_commands_import_no_more_than_they_need(command, tmp_path):
    (tmp_path / "ftp_dpm_478_1366545717.sync").write_text("ann\td_sid=1\n")
    script = (
        "import sys\n"
        "from airflow_am_provider.cli import main\n"
        f"main([{command!r}, {str(tmp_path / 'ftp_dpm_478_1366545717.sync')!r}])\n"
        "heavy = {'airflow', 'boto3', 'numpy', 'pandas', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_reader_that_goes_away_causes_no_traceback(tmp_path):
    for number in range(1_000_000_000, 1_000_003_000):
        (tmp_path / f"ftp_dpm_478_{number}.sync").write_text("ann\td_sid=1\n")
    process = subprocess.Popen(
        [*PYTHON, "check", str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert (process.wait(), errors) == (141, b"")
