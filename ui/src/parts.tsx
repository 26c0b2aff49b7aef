/** What every view is made of. */
import { Fragment, type ReactNode, useEffect, useId, useState } from 'react'
import { AirflowLink, loginAddress } from './airflow'
import type { ApiError } from './api'
import * as format from './format'

const TONES: Record<string, string> = {
  staged: 'gray',
  queued: 'gray',
  sending: 'cyan',
  sent: 'blue',
  picked_up: 'blue',
  acknowledged: 'green',
  reconciled: 'green',
  delivered: 'green',
  loaded: 'green',
  assumed: 'teal',
  arrived: 'blue',
  waiting: 'amber',
  missing: 'red',
  failed: 'red',
  rejected: 'red',
  refused: 'red',
  sending_failed: 'red',
  stopped_by_guard: 'red',
  no_answer_in_time: 'red',
  looking_failed: 'red',
  file_in_doubt: 'amber',
  approval_waiting: 'amber',
  superseded: 'gray',
  abandoned: 'gray',
}

export function tone(state: string): string {
  return TONES[state] ?? 'gray'
}

/** A state by word and colour: never by colour alone. */
export function State({ state }: { state: string }) {
  return <span className={`badge ${tone(state)}`}>{format.words(state)}</span>
}

export function Time({
  at,
  day = false,
  zone = true,
}: {
  at: string | null | undefined
  day?: boolean
  /** False where a heading says that it is UTC. */
  zone?: boolean
}) {
  if (!at) return <>{format.NOTHING}</>
  return (
    <time dateTime={at} title={format.localTime(at)}>
      {day ? format.date(at) : format.time(at)}
      {!day && zone && <span className="faint"> UTC</span>}
    </time>
  )
}

export function Ago({ at }: { at: string | null | undefined }) {
  if (!at) return null
  return (
    <time dateTime={at} title={`${format.time(at)} UTC. ${format.localTime(at) ?? ''}`}>
      {format.ago(at)}
    </time>
  )
}

/** Long names of DAGs, runs and batches break where their words end. */
export function Breakable({ text }: { text: string }) {
  return text.split(/(?<=[_.T])/).map((piece, at) => (
    <Fragment key={at}>
      {piece}
      <wbr />
    </Fragment>
  ))
}

export function Card({
  title,
  note,
  full = false,
  children,
}: {
  title: string
  note?: ReactNode
  /** As wide as the page, where others stand side by side. */
  full?: boolean
  children: ReactNode
}) {
  const id = useId()
  return (
    <section className={full ? 'card full' : 'card'} aria-labelledby={id}>
      <header>
        <h2 id={id}>{title}</h2>
        {note !== undefined && <div className="note">{note}</div>}
      </header>
      {children}
    </section>
  )
}

/** A table that may be wider than the window: it scrolls by itself, also by keyboard. */
export function TableBox({ label, children }: { label: string; children: ReactNode }) {
  return (
    <div className="table-box" role="region" aria-label={label} tabIndex={0}>
      {children}
    </div>
  )
}

export function Copy({ text, what }: { text: string; what: string }) {
  const [copied, setCopied] = useState(false)
  useEffect(() => {
    if (!copied) return
    const timer = setTimeout(() => setCopied(false), 2000)
    return () => clearTimeout(timer)
  }, [copied])
  return (
    <button
      type="button"
      className="copy"
      aria-label={copied ? `Copied: ${what}` : `Copy ${what}`}
      title={copied ? 'Copied' : 'Copy'}
      onClick={() => void copy(text).then(() => setCopied(true))}
    >
      {copied ? <Tick /> : <Sheets />}
    </button>
  )
}

/** Airflow on plain HTTP has no clipboard of its own, save for what is selected. */
async function copy(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text)
  } catch {
    const area = document.createElement('textarea')
    area.value = text
    area.className = 'off-screen'
    document.body.append(area)
    area.select()
    document.execCommand('copy')
    area.remove()
  }
}

export function Command({ label, command }: { label?: string; command: string }) {
  return (
    <div className="command">
      {label && <span className="command-label">{label}</span>}
      <code>{command}</code>
      <Copy text={command} what={label ? `the command: ${label}` : 'the command'} />
    </div>
  )
}

export function Note({ tone, title, children }: { tone: 'red' | 'amber' | 'blue'; title?: string; children: ReactNode }) {
  return (
    <div className={`note-box ${tone}`}>
      {title && <strong>{title}</strong>}
      <div>{children}</div>
    </div>
  )
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="empty">
      <p className="empty-title">{title}</p>
      {children}
    </div>
  )
}

export function Loading({ what }: { what: string }) {
  return (
    <div className="loading" role="status">
      <span className="spinner" aria-hidden="true" />
      Loading {what} …
    </div>
  )
}

export function Failed({ error, retry }: { error: ApiError; retry: () => void }) {
  return (
    <div className="failed" role="alert">
      <div>
        <strong>{failedTitle(error)}</strong>
        <p>{failedWords(error)}</p>
      </div>
      {error.status === 401 ? (
        <AirflowLink href={loginAddress()} className="button">
          Log in again
        </AirflowLink>
      ) : (
        <button type="button" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  )
}

function failedTitle(error: ApiError): string {
  if (error.status === 0) return 'Airflow cannot be reached'
  if (error.status === 401) return 'You are logged out'
  if (error.status === 403) return 'You may not see this'
  if (error.status === 404) return 'Not found'
  return 'This could not be loaded'
}

function failedWords(error: ApiError): string {
  if (error.status === 0) return `${error.message} The page asks again every minute.`
  if (error.status === 401) return 'Your login to Airflow has ended.'
  return error.message
}

export function Problems({ problems }: { problems: string[] | undefined }) {
  if (!problems?.length) return null
  return (
    <Note tone="amber">
      {problems.length === 1 ? (
        <p>{format.sentence(problems[0]!)}</p>
      ) : (
        <ul>
          {problems.map((problem) => (
            <li key={problem}>{format.sentence(problem)}</li>
          ))}
        </ul>
      )}
    </Note>
  )
}

function Sheets() {
  return (
    <svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true" fill="none" stroke="currentColor" strokeWidth="1.5">
      <rect x="5.5" y="5.5" width="8" height="8" rx="1.5" />
      <path d="M10.5 5.5v-2a1 1 0 0 0-1-1h-6a1 1 0 0 0-1 1v6a1 1 0 0 0 1 1h2" />
    </svg>
  )
}

function Tick() {
  return (
    <svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true" fill="none" stroke="currentColor" strokeWidth="2">
      <path d="M3 8.5 6.5 12 13 4.5" />
    </svg>
  )
}
