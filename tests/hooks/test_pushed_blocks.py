"""What a driver writes into a file is read by the block."""

from contextlib import closing
from typing import IO

import psycopg2

from airflow_am_provider.sources.driver_blocks import BLOCK_BYTES, written_blocks
from demo.local.postgres import Postgres


def test_a_block_that_nobody_took_is_not_offered_again(postgres: Postgres) -> None:
    written: list[IO[bytes]] = []

    def work(file: IO[bytes]) -> None:
        written.append(file)
        while True:
            file.write(bytes(BLOCK_BYTES))

    with closing(psycopg2.connect(postgres.uri())) as connection:
        with written_blocks(work, connection) as blocks:
            assert len(next(blocks)) == BLOCK_BYTES

        # So does Python once nothing refers to the file; since 3.14 it reports what fails there.
        written[0].close()
