"""The process behind :mod:`demo.local.imap`: the command ``pymap`` with quick logins.

Without TLS pymap offers the plain login right away. Its "dict" backend keeps mails in memory; the
one user is called "demo user" there.
"""

from argparse import Namespace
from typing import Any

from pymap import main
from pymap.backend import backends
from pymap.backend.dict import Config, DictBackend
from pysasl.hashing import BuiltinHash


class _QuickDictBackend(DictBackend):
    @classmethod
    async def init(cls, args: Namespace, **overrides: Any) -> tuple[DictBackend, Config]:
        # 500,000 rounds by default: each login would cost a fifth of a second, and whoever waits
        # for mail logs in again and again.
        backend: tuple[DictBackend, Config] = await super().init(
            args, hash_context=BuiltinHash(rounds=1), **overrides
        )
        return backend


if __name__ == "__main__":
    backends.add("dict", _QuickDictBackend)
    main.main()
