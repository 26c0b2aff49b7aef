/** The place in the page, which stands in the address after '#', so that each view and filter has a link. */
import { useSyncExternalStore } from 'react'

export interface Place {
  /** For example ['deliveries', 'ID']. */
  path: string[]
  query: Record<string, string>
}

export const framed: boolean = window.parent !== window

/** Airflow's own window around the frame, where it may be touched: it is of the same origin. */
export function outerWindow(): Window | null {
  if (!framed) return null
  try {
    void window.parent.location.href
    return window.parent
  } catch {
    return null
  }
}

function parse(hash: string): Place {
  const [path = '', search = ''] = hash.replace(/^#\/?/, '').split('?', 2)
  return {
    path: path.split('/').filter(Boolean).map(decode),
    query: Object.fromEntries(new URLSearchParams(search)),
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

export function link(path: string[], query: Record<string, string | undefined> = {}): string {
  const known = Object.entries(query).filter((pair): pair is [string, string] => Boolean(pair[1]))
  const search = new URLSearchParams(known).toString()
  return `#/${path.map(encodeURIComponent).join('/')}${search ? `?${search}` : ''}`
}

/** Replaces the place without a step in the browser's history: typing in a filter makes none. */
export function replace(hash: string): void {
  history.replaceState(history.state, '', hash)
  window.dispatchEvent(new HashChangeEvent('hashchange'))
}

/** A link that somebody copies from Airflow's address bar leads to the same view. */
function followOuter(): void {
  const outer = outerWindow()
  if (!outer) return
  if (outer.location.hash !== location.hash) {
    const { pathname, search } = outer.location
    outer.history.replaceState(outer.history.state, '', pathname + search + location.hash)
  }
}

export function startRoute(): void {
  const outer = outerWindow()
  if (outer && !location.hash && outer.location.hash.startsWith('#/')) {
    history.replaceState(history.state, '', outer.location.hash)
  }
  window.addEventListener('hashchange', followOuter)
  // A link that is put into Airflow's address bar while the page is open.
  outer?.addEventListener('hashchange', () => {
    const { hash } = outer.location
    if (hash.startsWith('#/') && hash !== location.hash) location.hash = hash
  })
}

function subscribe(changed: () => void): () => void {
  window.addEventListener('hashchange', changed)
  return () => window.removeEventListener('hashchange', changed)
}

export function usePlace(): Place {
  return parse(useSyncExternalStore(subscribe, () => location.hash))
}

export interface Scope {
  dag_id?: string
  run_id?: string
  task_id?: string
  map_index?: string
}

/** What the tab of a DAG, run or task is about. Airflow leaves a placeholder as it is where it has no value. */
export const scope: Scope = Object.fromEntries(
  [...new URLSearchParams(location.search)].filter(
    ([name, value]) =>
      ['dag_id', 'run_id', 'task_id', 'map_index'].includes(name) &&
      value !== '' &&
      !/^\{\w+\}$/.test(value) &&
      !(name === 'map_index' && value === '-1'),
  ),
)

export const isTab: boolean = scope.dag_id !== undefined
