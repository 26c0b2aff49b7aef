"""The page's answers. Each goes by the index alone, but for that about one delivery."""

import json
import sqlite3
from collections.abc import Iterator
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import JSONResponse, StreamingResponse

from airflow_am_provider.plugins.page import charts, queries
from airflow_am_provider.plugins.page.access import Rights, RightsDep
from airflow_am_provider.plugins.page.answers import answer, csv_lines, failed_runs_url
from airflow_am_provider.plugins.page.batches import batches
from airflow_am_provider.plugins.page.detail import one_delivery
from airflow_am_provider.plugins.page.index import Index, noted
from airflow_am_provider.plugins.page.refresher import INDEXED_AT, PROBLEMS, Refresher

# For an index that was never filled: then the first page says more than that there is nothing.
_FIRST_WAIT_S: Final = 2.0
_HIDDEN: Final = (
    "Some deliveries cannot be read at the moment; whoever may read all DAGs is told why"
)
_INCOMPLETE: Final = "The list is being read from staging and is not complete yet"
router = APIRouter()


def _filters(
    state: str = "",
    data_source: str | None = None,
    environment: str | None = None,
    since: str | None = None,
    until: str | None = None,
    day: str | None = None,
    dag_id: str | None = None,
    run_id: str | None = None,
    task_id: str | None = None,
    map_index: str | None = None,
    backfill: bool | None = None,
    q: Annotated[str | None, Query(max_length=200)] = None,
) -> queries.Filters:
    # Airflow gives -1 for a task that is not mapped, and leaves what it does not know as it is.
    is_mapped = map_index is not None and map_index.isdigit()
    return queries.Filters(
        states=tuple(one.strip() for one in state.split(",") if one.strip()),
        data_source=data_source,
        environment=environment,
        since=since,
        until=until,
        day=day,
        dag_id=dag_id,
        run_id=run_id,
        task_id=task_id,
        map_index=int(map_index or 0) if is_mapped else None,
        is_backfill=backfill,
        text=q,
    )


def _days(since: str | None = None, until: str | None = None) -> charts.Days:
    return charts.Days.parse(since, until)


def _index(request: Request) -> Index:
    """The index; whoever asks has it kept new."""
    refresher: Refresher = request.app.state.refresher
    refresher.ask(_FIRST_WAIT_S)
    index: Index = request.app.state.index
    return index


FiltersDep = Annotated[queries.Filters, Depends(_filters)]
IndexDep = Annotated[Index, Depends(_index)]
DaysDep = Annotated[charts.Days, Depends(_days)]


@router.get("/deliveries")
def deliveries(
    rights: RightsDep,
    filters: FiltersDep,
    index: IndexDep,
    limit: Annotated[int, Query(ge=1, le=queries.MOST_ROWS)] = 50,
    cursor: str | None = None,
) -> JSONResponse:
    """A page of the table."""
    with index.open() as connection:
        conditions = queries.where(rights, queries.of_task(connection, rights, filters))
        rows, next_cursor = queries.page(connection, conditions, limit=limit, cursor=cursor)
        total, outstanding, attention = queries.counts(connection, conditions)
        return JSONResponse(
            {
                "deliveries": [answer(row) for row in rows],
                "next_cursor": next_cursor,
                "total": total,
                "outstanding": outstanding,
                "needs_attention": attention,
                # What fails before there is a delivery left nothing in staging to be listed.
                "failed_runs_url": failed_runs_url(filters.dag_id),
                **_freshness(connection, rights),
            }
        )


@router.get("/deliveries.csv")
def deliveries_csv(rights: RightsDep, filters: FiltersDep, index: IndexDep) -> StreamingResponse:
    """All rows of the table, as CSV."""

    def lines() -> Iterator[str]:
        with index.open() as connection:
            conditions = queries.where(rights, queries.of_task(connection, rights, filters))
            yield from csv_lines(queries.all_rows(connection, conditions))

    headers = {"Content-Disposition": 'attachment; filename="deliveries.csv"'}
    return StreamingResponse(lines(), media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/deliveries/{delivery_id}")
def delivery(
    request: Request, rights: RightsDep, index: IndexDep, delivery_id: str
) -> JSONResponse:
    """One delivery, with what lies in staging of it."""
    with index.open() as connection:
        row = queries.one(connection, rights, delivery_id)
        conn_id = None if row is None else queries.connection_to(connection, row)
    if row is None:
        # The same for one that is not there and one that may not be seen.
        raise HTTPException(404, "There is no such delivery, or you may not read its DAG")
    return JSONResponse(
        one_delivery(
            row, conn_id, tells_all=rights.everything, find_place=request.app.state.find_place
        )
    )


@router.get("/facets")
def facets(rights: RightsDep, index: IndexDep) -> JSONResponse:
    """What there is to filter by."""
    with index.open() as connection:
        return JSONResponse(queries.facets(connection, rights))


@router.get("/calendar")
def calendar(
    rights: RightsDep, index: IndexDep, days: DaysDep, environment: str | None = None
) -> JSONResponse:
    """How each day was delivered, by data source."""
    with index.open() as connection:
        return JSONResponse(charts.calendar(connection, rights, days, environment))


@router.get("/charts/records")
def records(
    rights: RightsDep, index: IndexDep, days: DaysDep, data_source: str | None = None
) -> JSONResponse:
    """Records stored and failed by day."""
    with index.open() as connection:
        return JSONResponse(charts.records(connection, rights, days, data_source))


@router.get("/charts/quality")
def quality(
    rights: RightsDep, index: IndexDep, days: DaysDep, data_source: str | None = None
) -> JSONResponse:
    """Match rate, hours to the acknowledgement and share set aside by week."""
    with index.open() as connection:
        return JSONResponse(charts.quality(connection, rights, days, data_source))


@router.get("/charts/audiences")
def audiences(
    rights: RightsDep, index: IndexDep, days: DaysDep, data_source: str | None = None
) -> JSONResponse:
    """Lines sent by day, and when traits begin to expire."""
    with index.open() as connection:
        return JSONResponse(charts.audiences(connection, rights, days, data_source))


@router.get("/outbound")
def outbound(rights: RightsDep, index: IndexDep, state: str | None = None) -> JSONResponse:
    """Batches that Audience Manager sends: which arrived, which are missing, which are loaded."""
    with index.open() as connection:
        return JSONResponse(
            {
                **batches(connection, rights, state),
                **_freshness(connection, rights),
            }
        )


def _freshness(connection: sqlite3.Connection, rights: Rights) -> dict[str, Any]:
    """When the index was filled last, and what could not be read then."""
    problems = [sentence for _, sentence in json.loads(noted(connection, PROBLEMS) or "[]")]
    if problems and not rights.everything:
        # They name connections and places, which not everybody may know.
        problems = [_HIDDEN]
    indexed_at = noted(connection, INDEXED_AT)
    if indexed_at is None:
        problems.insert(0, _INCOMPLETE)
    return {"indexed_at": indexed_at, "problems": problems}
