/** Deliveries page by page: the first is asked for again every minute, the rest when they are wanted. */
import { useEffect, useState } from 'react'
import { ApiError, address, ask, type Deliveries, type Query, type Row, useAnswer } from './api'

const SOON_S = 3

export interface Pages {
  first: Deliveries | undefined
  rows: Row[]
  error: ApiError | undefined
  loading: boolean
  reload: () => void
  more: (() => void) | null
  moreLoading: boolean
  moreError: ApiError | undefined
}

interface Rest {
  url: string
  rows: Row[]
  cursor: string | null
}

export function usePages(query: Query): Pages {
  const url = address('deliveries', query)
  const { data: first, error, loading, reload } = useAnswer<Deliveries>(url)
  const [rest, setRest] = useState<Rest>()
  const [moreLoading, setMoreLoading] = useState(false)
  const [moreError, setMoreError] = useState<ApiError>()
  useEffect(() => {
    setRest(undefined)
    setMoreError(undefined)
  }, [url])

  // The list is being read for the first time: the rest of it is near.
  const unfinished = first !== undefined && first.indexed_at === null
  useEffect(() => {
    if (!unfinished || loading) return
    const timer = setTimeout(reload, SOON_S * 1000)
    return () => clearTimeout(timer)
  }, [unfinished, loading, reload])

  const held = rest?.url === url ? rest : undefined
  const cursor = held ? held.cursor : (first?.next_cursor ?? null)

  async function more() {
    setMoreLoading(true)
    setMoreError(undefined)
    try {
      const next = await ask<Deliveries>(address('deliveries', { ...query, cursor }))
      setRest({ url, rows: [...(held?.rows ?? []), ...next.deliveries], cursor: next.next_cursor })
    } catch (failure) {
      setMoreError(failure instanceof ApiError ? failure : new ApiError(0, String(failure)))
    }
    setMoreLoading(false)
  }

  // A delivery that came in since has pushed others on to the next page: none is shown twice.
  const seen = new Set<string>()
  const rows = [...(first?.deliveries ?? []), ...(held?.rows ?? [])].filter(
    (row) => !seen.has(row.delivery_id) && seen.add(row.delivery_id),
  )
  return {
    first,
    rows,
    error,
    loading,
    reload,
    more: cursor === null || loading ? null : () => void more(),
    moreLoading,
    moreError,
  }
}
