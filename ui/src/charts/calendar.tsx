/** A row for each data source, a cell for each day: what was delivered, waits, was rejected, or was not due. */
import type { KeyboardEvent } from 'react'
import type { Calendar, DayStatus } from '../api'
import * as format from '../format'
import { TableBox } from '../parts'
import { link } from '../route'

const MARKS: Record<DayStatus, string> = { delivered: '✓', waiting: '…', attention: '!', rejected: '✕', nothing: '' }
const WORDS: Record<DayStatus, string> = {
  delivered: 'delivered',
  waiting: 'waiting',
  attention: 'needs attention: nothing goes on before somebody has looked',
  rejected: 'rejected or failed',
  nothing: 'nothing due',
}
const STEPS: Record<string, [number, number]> = {
  ArrowRight: [0, 1],
  ArrowLeft: [0, -1],
  ArrowDown: [1, 0],
  ArrowUp: [-1, 0],
}

export function CalendarChart({ days, since, until }: { days: Calendar['days']; since: string; until: string }) {
  const dates = format.days(since, until)
  const sources = [...new Set(days.map((day) => day.data_source))].sort()
  const found = new Map(days.map((day) => [`${day.data_source} ${day.date}`, day]))
  const small = dates.length > 45
  return (
    <TableBox label="Calendar of data sources and days">
      <table className={`calendar ${small ? 'small' : ''}`} onKeyDown={walk}>
        <thead>
          <tr>
            <th scope="col">Data source</th>
            {dates.map((date) => (
              <th key={date} scope="col">
                <span aria-hidden="true">{heading(date, small)}</span>
                <span className="off-screen">{format.date(date)}</span>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {sources.map((source, row) => (
            <tr key={source}>
              <th scope="row">{source}</th>
              {dates.map((date, column) => {
                const day = found.get(`${source} ${date}`)
                const status = day?.status ?? 'nothing'
                const count = day?.count ? `, ${format.counted(day.count, 'delivery', 'deliveries')}` : ''
                const said = `${source}, ${format.date(date)}: ${WORDS[status]}${count}`
                return (
                  <td key={date}>
                    {day?.count ? (
                      <a
                        className={`day ${status}`}
                        href={link(['deliveries'], { data_source: source, day: date })}
                        title={said}
                        aria-label={said}
                        data-cell={`${row},${column}`}
                        tabIndex={day === days[days.length - 1] ? 0 : -1}
                      >
                        {MARKS[status]}
                      </a>
                    ) : (
                      <span className="day nothing" title={said}>
                        <span className="off-screen">{WORDS.nothing}</span>
                      </span>
                    )}
                  </td>
                )
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </TableBox>
  )
}

/** One stop of the tab key for all cells; arrows go from one to the next that holds something. */
function walk(event: KeyboardEvent<HTMLTableElement>): void {
  const step = STEPS[event.key]
  const here = event.target instanceof HTMLElement ? event.target.dataset.cell : undefined
  if (!step || !here) return
  event.preventDefault()
  let [row, column] = here.split(',').map(Number) as [number, number]
  const rows = event.currentTarget.tBodies[0]!.rows
  for (;;) {
    row += step[0]
    column += step[1]
    // The first cell of a row is its heading.
    const cell = rows[row]?.cells[column + 1]
    if (!cell || column < 0) return
    const next = cell.querySelector('a')
    if (next) return next.focus()
  }
}

function heading(date: string, small: boolean): string {
  const day = Number(date.slice(8))
  if (small) return day === 1 ? format.month(date) : ''
  return day === 1 ? format.month(date) : String(day)
}
