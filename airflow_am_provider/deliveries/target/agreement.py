"""What several attempts go by: the first one says it, and it holds for all of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import DataError, TransientError

if TYPE_CHECKING:
    from airflow_am_provider.deliveries.target.homes import Home, Loaded

_MOST_TRIES: Final = 20


@dataclass(kw_only=True)
class Agreement:
    """A word that attempts agree on, whichever of them is quicker.

    :param home: where decisions are kept.
    :param key: the name of the agreement's document.

    Example::

        agreement = Agreement(home=home, key="target-details/…/sendings/0a1b-2/x.sync")
        upload_id = agreement.settle("my own upload")
    """

    home: Home
    key: str
    _loaded: Loaded | None = field(default=None, init=False)

    def said(self) -> str | None:
        """What was agreed on; None before.

        :raises DataError: when the document is damaged.
        """
        self._loaded = self.home.load(self.key)
        return self._said

    def settle(self, proposal: str, *, instead_of: str | None = None) -> str:
        """Agree on a proposal, unless something was agreed on already.

        :param proposal: what this attempt says; no other says the same.
        :param instead_of: what was agreed on and does not hold any more.
        :return: what is agreed on now.
        :raises DataError: when the document is damaged.
        :raises TransientError: when the home does not answer, or others always come first.
        """
        content = json.dumps({"agreed": proposal}).encode()
        for _ in range(_MOST_TRIES):
            known = self._said
            if known is not None and known != instead_of:
                return known
            version = None if self._loaded is None else self._loaded.version
            if self.home.store(self.key, content, if_version=version):
                return proposal
            self._loaded = self.home.load(self.key)
        raise TransientError(f"{self.home.url}/{self.key}: others were always quicker")

    @property
    def _said(self) -> str | None:
        if self._loaded is None:
            return None
        try:
            return str(json.loads(self._loaded.content)["agreed"])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{self.home.url}/{self.key}: not what attempts agreed on: {error!r}. Delete it to "
                f"let them agree anew; a part may then be sent twice under its name"
            ) from None
