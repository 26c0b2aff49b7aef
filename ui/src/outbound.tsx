/** Batches that Audience Manager sends: which arrived, which are missing, which are loaded. */
import { type Outbound, address, useAnswer } from './api'
import * as format from './format'
import { Ago, Empty, Failed, Loading, State, TableBox, Time } from './parts'
import { link, replace } from './route'

const STATES = ['arrived', 'missing', 'loaded']

export function OutboundView({ query }: { query: Record<string, string> }) {
  const { data, error, loading, reload } = useAnswer<Outbound>(address('outbound'))
  if (!data) return error ? <Failed error={error} retry={reload} /> : <Loading what="outbound batches" />
  const batches = data.batches.filter((batch) => !query.state || batch.state === query.state)
  return (
    <>
      {error && <Failed error={error} retry={reload} />}
      {data.available === false ? (
        <Empty title="Outbound batches are not read here yet">
          <p>Once they are, this list says which batches of Audience Manager arrived, which are missing and which are loaded.</p>
        </Empty>
      ) : (
        <>
          <div className="filters" role="search">
            <label>
              State
              <select value={query.state ?? ''} onChange={(event) => replace(link(['outbound'], { state: event.target.value }))}>
                <option value="">Any state</option>
                {STATES.map((state) => (
                  <option key={state}>{state}</option>
                ))}
              </select>
            </label>
          </div>
          {batches.length === 0 ? (
            <Empty title={query.state ? `No batch is ${query.state}` : 'No batch has come yet'} />
          ) : (
            <TableBox label="Outbound batches">
              <table aria-busy={loading}>
                <thead>
                  <tr>
                    <th scope="col">Date</th>
                    <th scope="col">Batch</th>
                    <th scope="col">Destination</th>
                    <th scope="col">State</th>
                    <th scope="col">Mode</th>
                    <th scope="col" className="num">
                      Rows
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {batches.map((batch) => (
                    <tr key={`${batch.destination}/${batch.batch}`}>
                      <td>
                        <Time at={batch.date} day />
                      </td>
                      <td className="mono">{batch.batch}</td>
                      <td>{batch.destination}</td>
                      <td>
                        <State state={batch.state} />
                        <div className="sub">
                          <Ago at={batch.since} />
                        </div>
                      </td>
                      <td>{batch.mode}</td>
                      <td className="num">{format.number(batch.rows)}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </TableBox>
          )}
        </>
      )}
    </>
  )
}
