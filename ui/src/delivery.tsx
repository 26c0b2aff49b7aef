/** One delivery: what became of its rows, its files, what tells so, and what can be done. */
import { Fragment, useEffect, useState } from 'react'
import { AirflowLink } from './airflow'
import { address, type Delivery, type Row, type SetAsideReason, useAnswer } from './api'
import * as format from './format'
import { Funnel } from './funnel'
import { GuardPart } from './guard'
import { Ladders } from './ladder'
import { Ago, Card, Command, Copy, Failed, Loading, Note, Problems, State, TableBox, Time, tone } from './parts'
import { link } from './route'

/** Of a delivery whose folder is gone, only what its target's document says is left. */
const NOTHING_KNOWN: Omit<Delivery, keyof Row> = {
  funnel: [],
  files: [],
  signs: [],
  set_aside_reasons: [],
  guard: null,
  waiting: null,
  sendings: [],
  problems: [],
  disagreements: [],
  actions: [],
  commands: [],
}

const TRIES = 20
const PAUSE_S = 3

export function DeliveryView({ id }: { id: string }) {
  const { data, error, loading, reload } = useAnswer<Delivery>(address(`deliveries/${encodeURIComponent(id)}`))
  const [tries, setTries] = useState(0)
  // A link from a task that has just run is faster than the list of what there is.
  const isAwaited = error?.status === 404 && tries < TRIES
  useEffect(() => {
    if (!isAwaited || loading) return
    const timer = setTimeout(() => {
      setTries((n) => n + 1)
      reload()
    }, PAUSE_S * 1000)
    return () => clearTimeout(timer)
  }, [isAwaited, loading, reload])
  return (
    <>
      <p className="back">
        <a href={link(['deliveries'])}>← Deliveries</a>
      </p>
      {error && <Failed error={error} retry={reload} />}
      {isAwaited && <Loading what="it again: a new delivery is known after half a minute" />}
      {!data && !error && <Loading what="the delivery" />}
      {data && <Whole delivery={{ ...NOTHING_KNOWN, ...data }} />}
    </>
  )
}

function Whole({ delivery }: { delivery: Delivery }) {
  return (
    <article>
      <Title delivery={delivery} />
      {/* The reason stands above already. */}
      <Problems problems={delivery.problems.filter((problem) => problem !== delivery.reason)} />
      {delivery.disagreements.length > 0 && (
        <Note tone="amber" title="What tells of this delivery does not agree">
          <ul>
            {delivery.disagreements.map((text) => (
              <li key={text}>{text}</li>
            ))}
          </ul>
        </Note>
      )}
      <div className="cards">
        <div className="column">
          {delivery.waiting && (
            <Card title={delivery.waiting.title}>
              <Waiting facts={delivery.waiting.facts} />
            </Card>
          )}
          {delivery.funnel.length > 0 && (
            <Card title="From rows to records">
              <Funnel steps={delivery.funnel} />
            </Card>
          )}
          {delivery.set_aside_reasons.length > 0 && (
            <Card title="Set aside" note="Rows that were left out, and why">
              {delivery.set_aside_reasons.map((reason) => (
                <Reason key={reason.reason} reason={reason} />
              ))}
            </Card>
          )}
          <Card title="Files">
            <Files files={delivery.files} parts={delivery.parts} />
          </Card>
          {delivery.guard && (
            <Card title="Guard" note="What this delivery was compared with">
              <GuardPart guard={delivery.guard} />
            </Card>
          )}
          {delivery.commands.length > 0 && (
            <Card title="On the command line">
              {delivery.commands.map(({ label, command }) => (
                <Command key={command} label={label} command={command} />
              ))}
            </Card>
          )}
        </div>
        <div className="column">
          <Card title="Signs" note="What tells how far the files came">
            {delivery.signs.length > 0 ? <Ladders signs={delivery.signs} /> : <p className="faint">Nothing tells of it yet.</p>}
          </Card>
          <Facts delivery={delivery} />
          {delivery.sendings.length > 0 && (
            <Card title={delivery.sendings.length === 1 ? 'Sent once' : `Sent ${delivery.sendings.length} times`}>
              <Sendings sendings={delivery.sendings} />
            </Card>
          )}
        </div>
      </div>
    </article>
  )
}

function Title({ delivery }: { delivery: Delivery }) {
  const name = delivery.target_data_source ?? delivery.data_source
  // What went well asks for nothing to be done.
  const isOpen = delivery.needs_attention || delivery.state === 'failed'
  return (
    <header className="title">
      <div>
        <h2>
          {delivery.kind === 'id_sync' ? 'ID sync' : 'Data source'} {name} <State state={delivery.standing} />
        </h2>
        <p>
          {delivery.state_words && <>{format.sentence(delivery.state_words)} </>}
          {delivery.since && (
            <span className="faint">
              Since <Time at={delivery.since} /> (<Ago at={delivery.since} />)
            </span>
          )}
        </p>
        {delivery.reason && (
          <Note tone={tone(delivery.standing) === 'red' ? 'red' : 'amber'}>{format.sentence(delivery.reason)}</Note>
        )}
      </div>
      {delivery.actions.length > 0 && (
        <div className="actions">
          {delivery.actions.map((action, at) => (
            <div key={action.url + action.label}>
              <AirflowLink href={action.url} className={at === 0 && isOpen ? 'button solid' : 'button'}>
                {action.label}
              </AirflowLink>
              {action.hint && <p className="sub">{format.sentence(action.hint)}</p>}
            </div>
          ))}
        </div>
      )}
    </header>
  )
}

function Facts({ delivery }: { delivery: Delivery }) {
  const mapped = delivery.map_index !== null && delivery.map_index >= 0 ? ` [${delivery.map_index}]` : ''
  return (
    <Card title="About">
      <dl className="facts">
        <dt>Window</dt>
        <dd>{format.window_(delivery.window)}</dd>
        <dt>Made</dt>
        <dd>
          <Time at={delivery.created_at} />
        </dd>
        <dt>Destination</dt>
        <dd>{delivery.destination ?? format.NOTHING}</dd>
        <dt>Environment</dt>
        <dd>{delivery.environment ?? format.NOTHING}</dd>
        <dt>Connection</dt>
        <dd className="mono">{delivery.connection ?? format.NOTHING}</dd>
        {delivery.kind === 'data' && delivery.data_source !== delivery.target_data_source && (
          <>
            <dt>IDs of data source</dt>
            <dd>{delivery.data_source}</dd>
          </>
        )}
        {delivery.mode && (
          <>
            <dt>Mode</dt>
            <dd>{delivery.mode}</dd>
          </>
        )}
        <dt>Match rate</dt>
        <dd>{format.percent(delivery.match_rate)}</dd>
        <dt>DAG run</dt>
        <dd>
          <AirflowLink href={delivery.run_url}>{delivery.dag_id ?? format.NOTHING}</AirflowLink>
          {delivery.run_id && <div className="sub break">{delivery.run_id}</div>}
          {delivery.is_backfill && <span className="tag">backfill</span>}
        </dd>
        <dt>Task</dt>
        <dd>
          <AirflowLink href={delivery.task_url}>
            {delivery.task_id ?? format.NOTHING}
            {mapped}
          </AirflowLink>
        </dd>
        <dt>Delivery ID</dt>
        <dd className="mono break">
          {delivery.delivery_id} <Copy text={delivery.delivery_id} what="the delivery ID" />
        </dd>
      </dl>
    </Card>
  )
}

function Waiting({ facts }: { facts: NonNullable<Delivery['waiting']>['facts'] }) {
  return (
    <dl className="facts">
      {facts
        .filter((fact) => fact.at !== null || fact.text !== null)
        .map((fact) => (
          <Fragment key={`${fact.label} ${fact.text ?? fact.at}`}>
            <dt>{fact.label}</dt>
            <dd>{fact.at === null ? fact.text : <Time at={fact.at} />}</dd>
          </Fragment>
        ))}
    </dl>
  )
}

function Reason({ reason }: { reason: SetAsideReason }) {
  return (
    <div className="reason-box">
      <h3>
        <span className="reason-count">{format.counted(reason.count, 'row')}</span> {reason.words ?? format.words(reason.reason)}{' '}
        <code className="faint">{reason.reason}</code>
      </h3>
      <dl className="facts">
        {reason.first_rows.length > 0 && (
          <>
            <dt>{reason.first_rows.length === 1 ? 'Row' : reason.first_rows.length < reason.count ? 'First rows' : 'Rows'}</dt>
            <dd className="numbers">{reason.first_rows.map(format.number).join(' · ')}</dd>
          </>
        )}
        {reason.examples.length > 0 && (
          <>
            <dt>{reason.examples.length === 1 ? 'Example, masked' : 'Examples, masked'}</dt>
            <dd>
              {reason.examples.map((example, index) => (
                <code key={`${example} ${index}`} className="example">
                  {example}
                </code>
              ))}
            </dd>
          </>
        )}
      </dl>
      {reason.command && <Command label="Show the rest" command={reason.command} />}
    </div>
  )
}

function Sendings({ sendings }: { sendings: Delivery['sendings'] }) {
  return (
    <ol className="sendings">
      {sendings.map((sending) => (
        <li key={sending.number} value={sending.number}>
          <Time at={sending.at} />
          {sending.why && <div className="sub">{format.sentence(sending.why)}</div>}
        </li>
      ))}
    </ol>
  )
}

function Files({ files, parts }: { files: Delivery['files']; parts: number | null }) {
  if (files.length === 0) {
    return <p className="faint">{parts === 0 ? 'There is no file: no row was left to send.' : 'What its files were is not known any more.'}</p>
  }
  return (
    <TableBox label="Table of files">
      <table className="compact">
        <thead>
          <tr>
            <th scope="col">File and address</th>
            <th scope="col" className="num">
              Lines
            </th>
            <th scope="col" className="num">
              Size
            </th>
          </tr>
        </thead>
        <tbody>
          {files.map((file) => (
            <tr key={file.name}>
              <th scope="row" className="mono break">
                {file.name}
                {file.address && (
                  <div className="sub">
                    {file.address} <Copy text={file.address} what={`the address of ${file.name}`} />
                  </div>
                )}
              </th>
              <td className="num">{format.number(file.lines)}</td>
              <td className="num">{format.bytes(file.bytes)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </TableBox>
  )
}
