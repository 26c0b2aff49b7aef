/** All deliveries, those that are not done with first. */
import { type MouseEvent, useState } from 'react'
import { AirflowLink, save } from './airflow'
import { ApiError, address, askFile, type Row } from './api'
import { chosen, Filters } from './filters'
import * as format from './format'
import { usePages } from './pages'
import { Ago, Breakable, Empty, Failed, Loading, Problems, State, TableBox, Time } from './parts'
import { isTab, link, scope } from './route'

const PAGE = 50
/** So many lines say why rows were set aside; all reasons stand with the delivery. */
const REASONS = 3

export function DeliveriesView({ query }: { query: Record<string, string> }) {
  const set = chosen(query)
  const { first, rows, error, loading, reload, more, moreLoading, moreError } = usePages({
    ...set,
    ...scope,
    limit: PAGE,
  })
  const outstanding = rows.filter((row) => row.is_outstanding)
  const done = rows.filter((row) => !row.is_outstanding)
  return (
    <>
      <Filters query={query} />
      {error && <Failed error={error} retry={reload} />}
      {!first && !error && <Loading what="deliveries" />}
      {first && (
        <>
          <Problems problems={first.problems} />
          <div className="summary">
            <p role="status">
              {(first.total > 0 || first.indexed_at) && (
                <strong>{format.counted(first.total, 'delivery', 'deliveries')}</strong>
              )}
              {first.outstanding > 0 && (
                <>
                  , <a href={link(['deliveries'], { ...set, state: 'outstanding' })}>{format.number(first.outstanding)} outstanding</a>
                </>
              )}
              {first.needs_attention > 0 && (
                <>
                  ,{' '}
                  <a href={link(['deliveries'], { ...set, state: 'needs_attention' })}>
                    {format.counted(first.needs_attention, 'needs attention', 'need attention')}
                  </a>
                </>
              )}
              {first.indexed_at && (
                <span className="faint">
                  {' '}
                  · as of <Ago at={first.indexed_at} />
                </span>
              )}
            </p>
            <div className="summary-actions">
              {isTab && <AirflowLink href="../plugin/audience-manager">All deliveries and charts</AirflowLink>}
              {rows.length > 0 && <Export url={address('deliveries.csv', { ...set, ...scope })} />}
            </div>
          </div>
          {rows.length > 0 && <NotHere failedRuns={first.failed_runs_url} />}
          {rows.length === 0 && !first.indexed_at ? (
            <Loading what="deliveries" />
          ) : rows.length === 0 ? (
            <NoDeliveries filtered={Object.keys(set).length > 0} failedRuns={first.failed_runs_url} />
          ) : (
            <TableBox label="Deliveries">
              <table className="deliveries" aria-busy={loading}>
                <Head />
                <Group title="Outstanding" rows={outstanding} named={done.length > 0} />
                <Group title="Finished" rows={done} named={outstanding.length > 0} />
              </table>
            </TableBox>
          )}
          {moreError && more && <Failed error={moreError} retry={more} />}
          {more && !moreError && (
            <p className="more">
              <button type="button" onClick={more} disabled={moreLoading}>
                {moreLoading ? 'Loading …' : 'Show more'}
              </button>
              <span className="faint">
                {format.number(rows.length)} of {format.number(first.total)} shown
              </span>
            </p>
          )}
        </>
      )}
    </>
  )
}

function Export({ url }: { url: string }) {
  const [asking, setAsking] = useState(false)
  const [error, setError] = useState<ApiError>()
  async function run() {
    setAsking(true)
    setError(undefined)
    try {
      save(await askFile(url), 'deliveries.csv')
    } catch (failure) {
      setError(failure instanceof ApiError ? failure : new ApiError(0, String(failure)))
    }
    setAsking(false)
  }
  return (
    <>
      <button type="button" onClick={() => void run()} disabled={asking}>
        {asking ? 'Exporting …' : 'Export as CSV'}
      </button>
      {error && <Failed error={error} retry={() => void run()} />}
    </>
  )
}

/** What this list cannot know: nothing is in staging of it. */
function NotHere({ failedRuns }: { failedRuns: string }) {
  return (
    <p className="not-here faint">
      What fails before there is a delivery is not listed here, as when the database is down, or its SQL or a connection is wrong: see the{' '}
      <AirflowLink href={failedRuns}>failed runs in Airflow</AirflowLink>.
    </p>
  )
}

function NoDeliveries({ filtered, failedRuns }: { filtered: boolean; failedRuns: string }) {
  if (filtered) {
    return (
      <Empty title="No delivery matches">
        <a href={link(['deliveries'])}>Clear the filters</a>
        <NotHere failedRuns={failedRuns} />
      </Empty>
    )
  }
  return (
    <Empty title={isTab ? 'Nothing was delivered here yet' : 'No deliveries yet'}>
      {!isTab && <p>They appear as soon as a DAG with a format task has run, if you may read that DAG.</p>}
      <NotHere failedRuns={failedRuns} />
    </Empty>
  )
}

function Head() {
  return (
    <thead>
      <tr>
        <th scope="col">Made (UTC), window</th>
        <th scope="col">State</th>
        <th scope="col">Data source</th>
        <th scope="col" className="num">
          Rows read
        </th>
        <th scope="col" className="num">
          Rows set aside
        </th>
        <th scope="col" className="num">
          Lines
        </th>
        <th scope="col" className="num">
          Files
        </th>
        <th scope="col" className="num">
          Records received
        </th>
        <th scope="col" className="num">
          Records stored
        </th>
        <th scope="col" className="num">
          Match rate
        </th>
        <th scope="col" className="num">
          Times sent
        </th>
        <th scope="col">{isTab ? 'Run' : 'DAG, task'}</th>
      </tr>
    </thead>
  )
}

function Group({ title, rows, named }: { title: string; rows: Row[]; named: boolean }) {
  if (rows.length === 0) return null
  return (
    <tbody>
      {named && (
        <tr className="group">
          <th scope="rowgroup" colSpan={12}>
            {title}
          </th>
        </tr>
      )}
      {rows.map((row) => (
        <DeliveryRow key={row.delivery_id} row={row} />
      ))}
    </tbody>
  )
}

function DeliveryRow({ row }: { row: Row }) {
  const to = link(['deliveries', row.delivery_id])
  // The link is in the first cell; a click anywhere else in the row is a larger mark for a mouse.
  const open = (event: MouseEvent<HTMLTableRowElement>) => {
    if (event.target instanceof Element && event.target.closest('a, button')) return
    if (String(window.getSelection())) return
    location.hash = to
  }
  return (
    <tr className={row.needs_attention ? 'outstanding attention' : row.is_outstanding ? 'outstanding' : `is-${row.state}`} onClick={open}>
      <th scope="row">
        <a href={to}>
          <Time at={row.created_at} zone={false} />
        </a>
        {row.window && <div className="sub">for {format.window_(row.window)}</div>}
      </th>
      <td title={row.state_words ?? undefined}>
        <State state={row.standing} />
        <div className="sub">
          <Ago at={row.since} />
        </div>
        {row.needs_attention && row.state_words && <div className="sub reason">{format.sentence(row.state_words)}</div>}
        {row.reason && <div className="sub reason clipped">{row.reason}</div>}
      </td>
      <td>
        <strong>{row.target_data_source ?? row.data_source ?? format.NOTHING}</strong>
        <div className="sub">{target(row)}</div>
      </td>
      <td className="num">{format.number(row.rows_read)}</td>
      <td className="num">
        <SetAside row={row} />
      </td>
      <td className="num">{format.number(row.lines)}</td>
      <td className="num">
        {row.parts === null ? format.NOTHING : format.counted(row.parts, 'part')}
        {row.bytes !== null && <div className="sub">{format.bytes(row.bytes)}</div>}
      </td>
      <td className="num">{format.number(row.received)}</td>
      <td className="num">{format.number(row.stored)}</td>
      <td className="num">
        <MatchRate rate={row.match_rate} />
      </td>
      <td className="num">{row.times_sent ? `${format.number(row.times_sent)} ×` : format.NOTHING}</td>
      <td>
        <Origin row={row} />
      </td>
    </tr>
  )
}

function target(row: Row): string {
  const kind = row.kind === 'id_sync' ? 'ID sync' : row.mode
  // A destination mostly starts with its environment, as production/acme.
  const environment = row.environment && row.destination?.startsWith(row.environment) ? null : row.environment
  return [environment, row.destination, kind].filter(Boolean).join(' · ')
}

function SetAside({ row }: { row: Row }) {
  if (!row.rows_set_aside) return <>{format.number(row.rows_set_aside)}</>
  const reasons = Object.entries(row.set_aside ?? {}).sort((a, b) => b[1] - a[1])
  const shown = reasons.length > REASONS ? reasons.slice(0, REASONS - 1) : reasons
  return (
    <>
      {format.number(row.rows_set_aside)}
      {shown.map(([reason, count]) => (
        <div key={reason} className="sub">
          {format.words(reason)}
          {reasons.length > 1 && ` ${format.number(count)}`}
        </div>
      ))}
      {shown.length < reasons.length && <div className="sub">and {reasons.length - shown.length} more reasons</div>}
    </>
  )
}

function MatchRate({ rate }: { rate: number | null }) {
  if (rate === null) return <>{format.NOTHING}</>
  return (
    <>
      {format.percent(rate)}
      <meter className="rate" min={0} max={1} value={rate} aria-hidden="true" />
    </>
  )
}

function Origin({ row }: { row: Row }) {
  const mapped = row.map_index !== null && row.map_index >= 0 ? ` [${row.map_index}]` : ''
  // In a tab the DAG is known: which run it was is worth the room.
  const named = isTab ? row.run_id : row.dag_id
  return (
    <>
      <AirflowLink href={row.run_url} className="origin" title={row.run_id ? `Run ${row.run_id}` : undefined}>
        {named ? <Breakable text={named} /> : format.NOTHING}
      </AirflowLink>
      <div className="sub">
        <AirflowLink href={row.task_url}>
          {row.task_id ?? format.NOTHING}
          {mapped}
        </AirflowLink>
        {row.is_backfill && <span className="tag">backfill</span>}
      </div>
    </>
  )
}
