/** Batches that Audience Manager sends: which are missing, which arrived, which are loaded. */
import { AirflowLink } from './airflow'
import { type Batch, type Outbound, address, useAnswer } from './api'
import * as format from './format'
import { Ago, Breakable, Empty, Failed, Loading, Problems, State, TableBox, Time } from './parts'
import { link, replace } from './route'

const STATES = ['missing', 'arrived', 'loaded']

export function OutboundView({ query }: { query: Record<string, string> }) {
  const state = STATES.includes(query.state ?? '') ? query.state : undefined
  const { data, error, loading, reload } = useAnswer<Outbound>(address('outbound', { state }))
  if (!data) return error ? <Failed error={error} retry={reload} /> : <Loading what="outbound batches" />
  return (
    <>
      {error && <Failed error={error} retry={reload} />}
      <div className="filters" role="search" aria-label="Filter batches">
        <label>
          State
          <select
            value={state ?? ''}
            className={state ? 'set' : undefined}
            onChange={(event) => replace(link(['outbound'], { state: event.target.value }))}
          >
            <option value="">Any state</option>
            {STATES.map((one) => (
              <option key={one} value={one}>
                {format.sentenceCase(one)}
              </option>
            ))}
          </select>
        </label>
      </div>
      <Problems problems={data.problems} />
      {data.batches.length === 0 ? (
        <NoBatches state={state} />
      ) : (
        <>
          <div className="summary">
            <p role="status">
              <strong>{format.counted(data.total, 'batch', 'batches')}</strong>
              {data.batches.length < data.total && `, the first ${format.number(data.batches.length)} are shown`}
              {data.indexed_at && (
                <span className="faint">
                  {' '}
                  · as of <Ago at={data.indexed_at} />
                </span>
              )}
            </p>
          </div>
          <TableBox label="Outbound batches">
            <table className="batches" aria-busy={loading}>
              <thead>
                <tr>
                  <th scope="col">Made (UTC), batch</th>
                  <th scope="col">State</th>
                  <th scope="col">Destination</th>
                  <th scope="col" className="num">
                    Files
                  </th>
                  <th scope="col" className="num">
                    Lines read
                  </th>
                  <th scope="col" className="num">
                    Rows loaded
                  </th>
                  <th scope="col" className="num">
                    Lines set aside
                  </th>
                  <th scope="col">DAG, task</th>
                </tr>
              </thead>
              <tbody>
                {data.batches.map((batch) => (
                  <BatchRow key={[batch.dag_id, batch.series, batch.day, batch.batch].join('/')} batch={batch} />
                ))}
              </tbody>
            </table>
          </TableBox>
        </>
      )}
    </>
  )
}

function NoBatches({ state }: { state: string | undefined }) {
  if (state) {
    return (
      <Empty title={`No batch is ${state}`}>
        <a href={link(['outbound'])}>Show all batches</a>
      </Empty>
    )
  }
  return (
    <Empty title="No batches yet">
      <p>
        Sensors and loads of segment files that name an <code>audience_manager_conn_id</code> tell here which batches of
        Audience Manager are missing, arrived and loaded, if you may read their DAG.
      </p>
    </Empty>
  )
}

function BatchRow({ batch }: { batch: Batch }) {
  const reasons = Object.entries(batch.set_aside ?? {}).sort((a, b) => b[1] - a[1])
  return (
    <tr className={batch.state === 'loaded' ? undefined : 'outstanding'}>
      <th scope="row">
        {batch.made_at ? <Time at={batch.made_at} zone={false} /> : <Time at={batch.day} day />}
        <div className={batch.batch ? 'sub mono' : 'sub'}>{batch.batch ? <Breakable text={batch.batch} /> : 'no batch of this day'}</div>
      </th>
      <td>
        <State state={batch.state} />
        <div className="sub">
          <Ago at={batch.since} />
        </div>
        {batch.lacks && <div className="sub reason">{batch.lacks}</div>}
      </td>
      <td>
        <strong>{batch.destination ?? 'any'}</strong>
        <div className="sub">{[batch.series === batch.destination ? null : batch.series, batch.mode].filter(Boolean).join(' · ')}</div>
      </td>
      <td className="num">
        {format.number(batch.files)}
        {batch.bytes !== null && <div className="sub">{format.bytes(batch.bytes)}</div>}
      </td>
      <td className="num">{format.number(batch.lines_read)}</td>
      <td className="num">
        {format.number(batch.rows_loaded)}
        {batch.url && <div className="sub">{batch.url}</div>}
      </td>
      <td className="num">
        {format.number(batch.lines_set_aside)}
        {reasons.map(([reason, count]) => (
          <div key={reason} className="sub">
            {reason} {reasons.length > 1 && format.number(count)}
          </div>
        ))}
      </td>
      <td>
        <AirflowLink href={batch.run_url} className="origin" title={`Run ${batch.run_id}`}>
          <Breakable text={batch.dag_id} />
        </AirflowLink>
        <div className="sub">
          <AirflowLink href={batch.task_url}>{batch.task_id}</AirflowLink>
        </div>
      </td>
    </tr>
  )
}
