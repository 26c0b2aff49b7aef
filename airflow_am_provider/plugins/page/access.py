"""Who looks at the page, and the deliveries of which DAGs they may see."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagDetails
from airflow.api_fastapi.core_api.security import get_user, resolve_user_from_token
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.models.base_user import BaseUser

_COOKIE: Final = "_token"
# No DAG can have this name, so who may read it may read every DAG, whatever rules there are.
_NO_DAG: Final = "/every DAG/"


@dataclass(frozen=True, kw_only=True)
class Rights:
    """What a user may see.

    :param everything: whether the deliveries of all DAGs, and those of none.
    :param dag_ids: the DAGs that the user may read.
    """

    everything: bool
    dag_ids: frozenset[str] = frozenset()


async def _user_of_airflow_3_1(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))],
) -> Any:
    """Who is logged in: by the header, as Airflow 3.1 goes by alone, or by the cookie."""
    token = request.cookies.get(_COOKIE) if bearer is None else bearer.credentials
    return await resolve_user_from_token(token)


# From Airflow 3.2 on its own dependency reads the cookie, which a frame sends by itself.
_READS_COOKIES: Final = "request" in inspect.signature(get_user).parameters
_current_user: Any = get_user if _READS_COOKIES else _user_of_airflow_3_1


def rights_of(user: Annotated[Any, Depends(_current_user)]) -> Rights:
    """What the user who asks may see.

    :raises HTTPException: 401 without login.
    """
    return rights(get_auth_manager(), user)


def rights(auth_manager: Any, user: BaseUser) -> Rights:
    """What a user may see, by Airflow's auth manager."""
    if auth_manager.is_authorized_dag(method="GET", details=DagDetails(id=_NO_DAG), user=user):
        return Rights(everything=True)
    dag_ids = auth_manager.get_authorized_dag_ids(user=user, method="GET")
    return Rights(everything=False, dag_ids=frozenset(dag_ids))


RightsDep = Annotated[Rights, Depends(rights_of)]
