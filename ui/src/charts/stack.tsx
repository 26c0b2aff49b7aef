/** Bars of a day, one piece on the other. */
import { AxisBottom, AxisLeft } from '@visx/axis'
import { GridRows } from '@visx/grid'
import { scaleBand, scaleLinear, scaleOrdinal } from '@visx/scale'
import { BarStack } from '@visx/shape'
import { useState } from 'react'
import * as format from '../format'
import { every, Figure, type Hover, Legend, MARGIN } from './frame'

interface Day {
  date: string
  counts: Record<string, number>
}

const HEIGHT = 240

export function StackChart({ label, days, series }: { label: string; days: Day[]; series: [name: string, colour: string][] }) {
  const [hover, setHover] = useState<Hover | null>(null)
  const names = series.map(([name]) => name)
  const flat = days.map((day) => ({ date: day.date, ...Object.fromEntries(names.map((name) => [name, day.counts[name] ?? 0])) }))
  const total = (day: Day) => names.reduce((sum, name) => sum + (day.counts[name] ?? 0), 0)
  const most = Math.max(1, ...days.map(total))
  const table = {
    head: ['Date', ...names],
    rows: days.filter((day) => total(day) > 0).map((day) => [format.date(day.date), ...names.map((name) => format.number(day.counts[name] ?? 0))]),
  }
  return (
    <>
      <Legend items={series} />
      <Figure label={label} height={HEIGHT} hover={hover} table={table}>
        {(width) => {
          const x = scaleBand<string>({
            domain: days.map((day) => day.date),
            range: [MARGIN.left, width - MARGIN.right],
            padding: 0.25,
          })
          const y = scaleLinear<number>({ domain: [0, most], range: [HEIGHT - MARGIN.bottom, MARGIN.top], nice: true })
          const step = every(days.length, width - MARGIN.left)
          return (
            <>
              <GridRows scale={y} left={MARGIN.left} width={width - MARGIN.left - MARGIN.right} numTicks={4} stroke="var(--line)" />
              <BarStack
                data={flat}
                keys={names}
                x={(day) => day.date}
                xScale={x}
                yScale={y}
                color={scaleOrdinal<string, string>({ domain: names, range: series.map(([, colour]) => colour) })}
              />
              <AxisLeft scale={y} left={MARGIN.left} numTicks={4} hideAxisLine hideTicks tickFormat={(value) => format.compact(Number(value))} tickLabelProps={LEFT} />
              <AxisBottom
                scale={x}
                top={HEIGHT - MARGIN.bottom}
                hideTicks
                stroke="var(--line-strong)"
                tickValues={days.map((day) => day.date).filter((_, at) => at % step === 0)}
                tickFormat={format.shortDate}
                tickLabelProps={BOTTOM}
              />
              {days.map((day) => (
                <rect
                  key={day.date}
                  x={(x(day.date) ?? 0) - (x.step() - x.bandwidth()) / 2}
                  y={0}
                  width={x.step()}
                  height={HEIGHT - MARGIN.bottom}
                  className="hover-mark"
                  onPointerLeave={() => setHover(null)}
                  onPointerEnter={() =>
                    setHover({
                      x: (x(day.date) ?? 0) + x.bandwidth() / 2,
                      title: format.date(day.date),
                      rows: series.map(([name, colour]) => [name, format.number(day.counts[name] ?? 0), colour]),
                    })
                  }
                />
              ))}
            </>
          )
        }}
      </Figure>
    </>
  )
}

export const LEFT = { className: 'tick', textAnchor: 'end', dx: -4, dy: 4 } as const
export const BOTTOM = { className: 'tick', textAnchor: 'middle', dy: 4 } as const
