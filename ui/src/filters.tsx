/** What the table of deliveries is narrowed by. Each choice is in the page's address. */
import { useEffect, useState } from 'react'
import { address, type Facets, useAnswer } from './api'
import * as format from './format'
import { isTab, link, replace, scope } from './route'

/** `day` comes from the calendar: the day on which a window begins. */
export const FILTERS = ['q', 'state', 'data_source', 'environment', 'dag_id', 'since', 'until', 'day', 'backfill'] as const

export function chosen(query: Record<string, string>): Record<string, string> {
  return Object.fromEntries(FILTERS.flatMap((name) => (query[name] ? [[name, query[name]]] : [])))
}

function Choice({
  label,
  name,
  query,
  options,
  any,
}: {
  label: string
  name: string
  query: Record<string, string>
  options: [value: string, label: string][]
  any: string
}) {
  const value = query[name] ?? ''
  const known = value === '' || options.some(([option]) => option === value)
  return (
    <label>
      {label}
      <select
        value={value}
        className={value ? 'set' : undefined}
        onChange={(event) => replace(link(['deliveries'], { ...query, [name]: event.target.value }))}
      >
        <option value="">{any}</option>
        {/* A link may name several states, or a data source that is gone. */}
        {!known && <option value={value}>{format.words(value)}</option>}
        {options.map(([option, text]) => (
          <option key={option} value={option}>
            {text}
          </option>
        ))}
      </select>
    </label>
  )
}

function Day({ label, name, query }: { label: string; name: string; query: Record<string, string> }) {
  return (
    <label>
      {label}
      <input
        type="date"
        value={query[name] ?? ''}
        className={query[name] ? 'set' : undefined}
        onChange={(event) => replace(link(['deliveries'], { ...query, [name]: event.target.value }))}
      />
    </label>
  )
}

function Search({ query }: { query: Record<string, string> }) {
  const [text, setText] = useState(query.q ?? '')
  useEffect(() => setText(query.q ?? ''), [query.q])
  useEffect(() => {
    if (text === (query.q ?? '')) return
    const timer = setTimeout(() => replace(link(['deliveries'], { ...query, q: text })), 300)
    return () => clearTimeout(timer)
  })
  return (
    <label className="search">
      Search
      <input
        type="search"
        value={text}
        placeholder="ID, DAG, reason …"
        onChange={(event) => setText(event.target.value)}
      />
    </label>
  )
}

export function Filters({ query }: { query: Record<string, string> }) {
  const { data } = useAnswer<Facets>(address('facets'))
  const same = (values: string[] | undefined): [string, string][] => (values ?? []).map((value) => [value, value])
  return (
    <div className="filters" role="search" aria-label="Filter deliveries">
      <Search query={query} />
      <Choice
        label="State"
        name="state"
        query={query}
        any="Any state"
        options={[
          ['outstanding', 'Outstanding'],
          ['needs_attention', 'Needs attention'],
          ...(data?.states ?? []).map((state): [string, string] => [state, format.sentenceCase(format.words(state))]),
        ]}
      />
      <Choice label="Data source" name="data_source" query={query} any="All" options={same(data?.data_sources)} />
      <Choice label="Environment" name="environment" query={query} any="All" options={same(data?.environments)} />
      {!isTab && <Choice label="DAG" name="dag_id" query={query} any="All" options={same(data?.dags)} />}
      {!scope.run_id && (
        <>
          <Choice
            label="Runs"
            name="backfill"
            query={query}
            any="All"
            options={[
              ['true', 'Backfills only'],
              ['false', 'Without backfills'],
            ]}
          />
          <Day label="From (UTC)" name="since" query={query} />
          <Day label="To (UTC)" name="until" query={query} />
        </>
      )}
      {query.day && (
        <button type="button" className="set" onClick={() => replace(link(['deliveries'], { ...query, day: undefined }))}>
          Window of {format.date(query.day)}
          <span aria-hidden="true">×</span>
          <span className="off-screen">, show other days too</span>
        </button>
      )}
      {Object.keys(chosen(query)).length > 0 && (
        <button type="button" onClick={() => replace(link(['deliveries']))}>
          Clear filters
        </button>
      )}
    </div>
  )
}
