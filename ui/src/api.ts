/** What the server gives, and how it is asked. Paths are relative: Airflow may live under a path of its own. */
import { useCallback, useEffect, useRef, useState } from 'react'

export interface Row {
  delivery_id: string
  created_at: string
  kind: 'data' | 'id_sync'
  window: { start: string; end: string } | null
  connection: string | null
  environment: string | null
  destination: string | null
  data_source: string | null
  target_data_source: string | null
  mode: 'sync' | 'overwrite' | null
  state: string
  /** The state, or what it alone does not say, as sending_failed. */
  standing: string
  state_words: string | null
  since: string | null
  is_outstanding: boolean
  needs_attention: boolean
  reason: string | null
  rows_read: number | null
  rows_written: number | null
  rows_set_aside: number | null
  set_aside: Record<string, number> | null
  lines: number | null
  parts: number | null
  bytes: number | null
  received: number | null
  stored: number | null
  match_rate: number | null
  times_sent: number | null
  dag_id: string | null
  run_id: string | null
  task_id: string | null
  map_index: number | null
  is_backfill: boolean | null
  run_url: string | null
  task_url: string | null
}

export interface Deliveries {
  deliveries: Row[]
  next_cursor: string | null
  total: number
  outstanding: number
  needs_attention: number
  failed_runs_url: string
  indexed_at: string | null
  problems: string[]
}

export interface Facets {
  data_sources: string[]
  environments: string[]
  states: string[]
  dags: string[]
}

export interface SetAsideReason {
  reason: string
  words: string | null
  count: number
  first_rows: number[]
  examples: string[]
  command: string | null
}

export interface Guard {
  limits: (string | { name: string; value: unknown })[]
  history: { date: string; figures: Record<string, number | null> }[]
  decision: { by: string | null; at: string | null; approved: boolean; note: string | null } | null
}

export interface Delivery extends Row {
  funnel: { step: string; label: string; count: number | null }[]
  files: { name: string; address: string | null; bytes: number | null; lines: number | null }[]
  signs: { name: string; rungs: { rung: string; reached: boolean; at: string | null; unreached: string | null }[] }[]
  set_aside_reasons: SetAsideReason[]
  guard: Guard | null
  waiting: { title: string; facts: { label: string; text: string | null; at: string | null }[] } | null
  sendings: { number: number; at: string | null; why: string | null }[]
  problems: string[]
  disagreements: string[]
  actions: { label: string; url: string; hint: string | null }[]
  commands: { label: string; command: string }[]
}

export type DayStatus = 'delivered' | 'waiting' | 'attention' | 'rejected' | 'nothing'

export interface Calendar {
  days: { date: string; data_source: string; status: DayStatus; count: number }[]
}

export interface Records {
  days: { date: string; stored: number; failed: Record<string, number> }[]
}

export interface Quality {
  weeks: {
    week: string
    match_rate: number | null
    hours_to_acknowledgement: { median: number | null; longest: number | null } | null
    set_aside_share: number | null
    /** Without rows that say again what is sent anyway: only these count against the limit. */
    lost_share: number | null
  }[]
  limits: {
    min_match_rate?: number | null
    max_hours_to_acknowledgement?: number | null
    max_set_aside?: number | null
  }
}

export interface Audiences {
  days: { date: string; data_source: string; lines: number }[]
  expiry: { data_source: string; days_left: number | null; date: string | null }[]
}

export interface Batch {
  /** Null for a day of which there is none at all. */
  batch: string | null
  destination: string | null
  /** Destination and kind of ID: what comes once a day. */
  series: string | null
  day: string | null
  made_at: string | null
  mode: string | null
  state: 'missing' | 'arrived' | 'loaded'
  since: string
  lacks: string | null
  files: number | null
  bytes: number | null
  lines_read: number | null
  rows_loaded: number | null
  lines_set_aside: number | null
  set_aside: Record<string, number> | null
  url: string | null
  dag_id: string
  run_id: string
  task_id: string
  map_index: number
  run_url: string | null
  task_url: string | null
}

export interface Outbound {
  batches: Batch[]
  total: number
  indexed_at: string | null
  problems: string[]
}

/** An answer that is not what was asked for; status 0 means that there was none. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message)
  }
}

export type Query = Record<string, string | number | undefined | null>

export function address(path: string, query: Query = {}): string {
  const known = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== '')
  const search = new URLSearchParams(known.map(([name, value]) => [name, String(value)])).toString()
  return `api/${path}${search ? `?${search}` : ''}`
}

export async function ask<T>(url: string, signal?: AbortSignal): Promise<T> {
  let answer: Response
  try {
    answer = await fetch(url, { signal, headers: { Accept: 'application/json', ...login() } })
  } catch (error) {
    if (signal?.aborted) throw error
    throw new ApiError(0, 'The Airflow server did not answer.')
  }
  if (!answer.ok) throw new ApiError(answer.status, await sentence(answer))
  try {
    return (await answer.json()) as T
  } catch {
    throw new ApiError(answer.status, 'The answer of the Airflow server could not be read.')
  }
}

/** Airflow 3.1 keeps the login here; newer ones have a cookie, which goes along by itself. */
function login(): Record<string, string> {
  try {
    const token = localStorage.getItem('token')
    return token ? { Authorization: `Bearer ${token}` } : {}
  } catch {
    return {}
  }
}

export async function askFile(url: string): Promise<Blob> {
  const answer = await fetch(url, { headers: login() }).catch(() => {
    throw new ApiError(0, 'The Airflow server did not answer.')
  })
  if (!answer.ok) throw new ApiError(answer.status, await sentence(answer))
  return answer.blob()
}

async function sentence(answer: Response): Promise<string> {
  const body: unknown = await answer.json().catch(() => null)
  const detail = body && typeof body === 'object' && 'detail' in body ? body.detail : null
  return typeof detail === 'string' ? detail : `The Airflow server answered with ${answer.status}.`
}

export interface Answer<T> {
  data: T | undefined
  error: ApiError | undefined
  loading: boolean
  reload: () => void
}

const AGAIN_S = 60

/**
 * Asks, and asks again every minute while somebody looks. What was there before stays until the new
 * answer is here, and it stays when that one fails.
 */
export function useAnswer<T>(url: string | null): Answer<T> {
  const [held, setHeld] = useState<{ url: string; data?: T; error?: ApiError }>()
  const [round, setRound] = useState(0)
  const [asking, setAsking] = useState(true)
  const current = useRef(url)
  current.current = url
  const reload = useCallback(() => setRound((n) => n + 1), [])

  useEffect(() => {
    if (url === null) return
    const abort = new AbortController()
    setAsking(true)
    ask<T>(url, abort.signal).then(
      (data) => {
        if (abort.signal.aborted) return
        setHeld({ url, data })
        setAsking(false)
      },
      (error: unknown) => {
        if (abort.signal.aborted) return
        const told = error instanceof ApiError ? error : new ApiError(0, String(error))
        // Old figures beside "log in again" would be taken for today's.
        setHeld((before) => ({
          url,
          data: before?.url === url && told.status !== 401 ? before.data : undefined,
          error: told,
        }))
        setAsking(false)
      },
    )
    return () => abort.abort()
  }, [url, round])

  useEffect(() => {
    const timer = setInterval(() => {
      if (!document.hidden) reload()
    }, AGAIN_S * 1000)
    return () => clearInterval(timer)
  }, [reload])

  const mine = held?.url === url
  return {
    // While a filter changes, the rows of the one before stay, dimmed, rather than a blank page.
    data: held?.data,
    error: mine ? held?.error : undefined,
    loading: asking || !mine,
    reload,
  }
}
