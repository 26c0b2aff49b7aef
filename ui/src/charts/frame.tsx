/** What all charts share: their width, a box with the figures under the pointer, and the same as a table. */
import { type ReactNode, useEffect, useRef, useState } from 'react'
import { TableBox } from '../parts'

export const MARGIN = { top: 10, right: 12, bottom: 26, left: 52 }

export interface Hover {
  x: number
  title: string
  rows: [name: string, value: string, colour: string][]
}

export interface Table {
  head: string[]
  rows: string[][]
}

export function Figure({
  label,
  height,
  hover,
  table,
  children,
}: {
  label: string
  height: number
  hover: Hover | null
  table: Table
  children: (width: number) => ReactNode
}) {
  const box = useRef<HTMLDivElement>(null)
  const width = useWidth(box)
  const left = hover !== null && hover.x > width / 2
  return (
    <figure>
      <div className="chart" ref={box}>
        {width > 0 && (
          <svg width={width} height={height} role="img" aria-label={`${label}. The table below has the same figures.`}>
            {children(width)}
          </svg>
        )}
        {hover && (
          <div className={`hover ${left ? 'left' : ''}`} style={{ left: hover.x }} aria-hidden="true">
            <strong>{hover.title}</strong>
            {hover.rows.map(([name, value, colour]) => (
              <div key={name}>
                <i style={{ background: colour }} />
                <span>{name}</span>
                <b>{value}</b>
              </div>
            ))}
          </div>
        )}
      </div>
      <details>
        <summary>Show as a table</summary>
        <TableBox label={`${label}, as a table`}>
          <table className="compact">
            <thead>
              <tr>
                {table.head.map((name, at) => (
                  <th key={name} scope="col" className={at > 0 ? 'num' : undefined}>
                    {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {table.rows.map(([name, ...values]) => (
                <tr key={name}>
                  <th scope="row">{name}</th>
                  {values.map((value, at) => (
                    <td key={table.head[at + 1]} className="num">
                      {value}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </TableBox>
      </details>
    </figure>
  )
}

function useWidth(box: React.RefObject<HTMLElement | null>): number {
  const [width, setWidth] = useState(0)
  useEffect(() => {
    const element = box.current
    if (!element) return
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry!.contentRect.width)))
    observer.observe(element)
    return () => observer.disconnect()
  }, [box])
  return width
}

export function Legend({ items }: { items: [name: string, colour: string][] }) {
  return (
    <span className="legend">
      {items.map(([name, colour]) => (
        <span key={name}>
          <i style={{ background: colour }} aria-hidden="true" />
          {name}
        </span>
      ))}
    </span>
  )
}

/** Every how many-th of `count` labels is shown, so that none touches the next. */
export function every(count: number, width: number, labelWidth = 64): number {
  return Math.max(1, Math.ceil((count * labelWidth) / Math.max(1, width)))
}
