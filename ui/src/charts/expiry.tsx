/** For how many days what was sent still holds. */
import type { Audiences } from '../api'
import * as format from '../format'

const SOON = 14
const NEAR = 30
const USUAL = 120

export function ExpiryChart({ expiry }: { expiry: Audiences['expiry'] }) {
  const most = Math.max(USUAL, ...expiry.map((one) => one.days_left ?? 0))
  const sorted = [...expiry].sort((a, b) => (a.days_left ?? Infinity) - (b.days_left ?? Infinity))
  return (
    <ul className="funnel expiry">
      {sorted.map(({ data_source, days_left, date }) => (
        <li key={data_source}>
          <span className="funnel-label" title={data_source}>
            {data_source}
          </span>
          <span className="funnel-track" aria-hidden="true">
            <span className={`funnel-bar ${tone(days_left)}`} style={{ width: `${(Math.max(0, days_left ?? 0) / most) * 100}%` }} />
          </span>
          <span className="funnel-count">{days_left === null ? 'not known' : days_left <= 0 ? 'expired' : format.counted(days_left, 'day')}</span>
          <span className="funnel-less">{date && `on ${format.date(date)}`}</span>
        </li>
      ))}
    </ul>
  )
}

function tone(days: number | null): string {
  if (days === null) return 'gray'
  if (days <= SOON) return 'red'
  return days <= NEAR ? 'amber' : 'green'
}
