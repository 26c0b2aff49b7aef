/** Lines over days or weeks, with the limits that hold drawn in. */
import { AxisBottom, AxisLeft } from '@visx/axis'
import { GridRows } from '@visx/grid'
import { scaleLinear, scaleUtc } from '@visx/scale'
import { LinePath } from '@visx/shape'
import { type PointerEvent, useState } from 'react'
import * as format from '../format'
import { every, Figure, type Hover, Legend, MARGIN } from './frame'
import { BOTTOM, LEFT } from './stack'

interface Point {
  at: string
  value: number | null
}

export interface Line {
  name: string
  colour: string
  points: Point[]
}

interface Limit {
  value: number
  label: string
}

const HEIGHT = 220

export function LineChart({
  label,
  lines,
  limits = [],
  format: written,
  axis,
  fromZero = false,
  highest,
}: {
  label: string
  lines: Line[]
  limits?: (Limit | null)[]
  format: (value: number | null) => string
  /** Heading of the table's first column. */
  axis: string
  fromZero?: boolean
  highest?: number
}) {
  const [hover, setHover] = useState<Hover | null>(null)
  const drawn = limits.filter((limit): limit is Limit => limit !== null)
  const moments = [...new Set(lines.flatMap((line) => line.points.map((point) => point.at)))].sort()
  const value = (line: Line, at: string) => line.points.find((point) => point.at === at)?.value ?? null
  const [low, high] = span(lines, drawn, fromZero, highest)
  const table = {
    head: [axis, ...lines.map((line) => line.name)],
    rows: moments.map((at) => [format.date(at), ...lines.map((line) => written(value(line, at)))]),
  }
  return (
    <>
      {lines.length > 1 && <Legend items={lines.map((line) => [line.name, line.colour])} />}
      <Figure label={label} height={HEIGHT} hover={hover} table={table}>
        {(width) => {
          const x = scaleUtc({ domain: ends(moments), range: [MARGIN.left + 8, width - MARGIN.right - 8] })
          const y = scaleLinear<number>({ domain: [low, high], range: [HEIGHT - MARGIN.bottom, MARGIN.top] })
          const step = every(moments.length, width - MARGIN.left)
          const follow = (event: PointerEvent<SVGRectElement>) => {
            const left = event.currentTarget.ownerSVGElement!.getBoundingClientRect().left
            const pointed = x.invert(event.clientX - left).getTime()
            const away = (at: string) => Math.abs(Date.parse(at) - pointed)
            const nearest = moments.reduce((best, at) => (away(at) < away(best) ? at : best))
            setHover({
              x: x(new Date(nearest)),
              title: axis === 'Date' ? format.date(nearest) : `${axis} ${format.date(nearest)}`,
              rows: lines.map((line) => [line.name, written(value(line, nearest)), line.colour]),
            })
          }
          return (
            <>
              <GridRows scale={y} left={MARGIN.left} width={width - MARGIN.left - MARGIN.right} numTicks={4} stroke="var(--line)" />
              <AxisLeft scale={y} left={MARGIN.left} numTicks={4} hideAxisLine hideTicks tickFormat={(tick) => tickText(Number(tick), written)} tickLabelProps={LEFT} />
              <AxisBottom
                scale={x}
                top={HEIGHT - MARGIN.bottom}
                hideTicks
                stroke="var(--line-strong)"
                tickValues={moments.filter((_, at) => at % step === 0).map((at) => new Date(at))}
                tickFormat={(tick) => format.shortDate((tick as Date).toISOString())}
                tickLabelProps={BOTTOM}
              />
              {drawn.map((limit) => (
                <g key={limit.label} className="limit">
                  <line x1={MARGIN.left} x2={width - MARGIN.right} y1={y(limit.value)} y2={y(limit.value)} />
                  <text x={width - MARGIN.right} y={y(limit.value) + (y(limit.value) < MARGIN.top + 14 ? 14 : -5)} textAnchor="end">
                    {limit.label}
                  </text>
                </g>
              ))}
              {hover && <line className="hover-line" x1={hover.x} x2={hover.x} y1={MARGIN.top} y2={HEIGHT - MARGIN.bottom} />}
              {lines.map((line) => (
                <g key={line.name}>
                  <LinePath
                    data={line.points}
                    x={(point) => x(new Date(point.at))}
                    y={(point) => y(point.value ?? 0)}
                    defined={(point) => point.value !== null}
                    stroke={line.colour}
                    strokeWidth={2}
                    strokeLinejoin="round"
                  />
                  {moments.length <= 40 &&
                    line.points.map(
                      (point) =>
                        point.value !== null && (
                          <circle key={point.at} cx={x(new Date(point.at))} cy={y(point.value)} r={2.5} fill={line.colour} />
                        ),
                    )}
                </g>
              ))}
              <rect
                x={MARGIN.left}
                y={0}
                width={Math.max(0, width - MARGIN.left)}
                height={HEIGHT}
                fill="transparent"
                onPointerMove={follow}
                onPointerLeave={() => setHover(null)}
              />
            </>
          )
        }}
      </Figure>
    </>
  )
}

/** Lowest and highest value of the axis, limits among them: a limit out of sight warns nobody. */
function span(lines: Line[], limits: Limit[], fromZero: boolean, highest: number | undefined): [number, number] {
  const values = lines.flatMap((line) => line.points.flatMap((point) => (point.value === null ? [] : [point.value])))
  const all = [...values, ...limits.map((limit) => limit.value)]
  const high = Math.max(...all)
  const low = fromZero ? 0 : Math.min(...all)
  const room = (high - low || Math.abs(high) || 1) * 0.1
  const top = high + room
  return [fromZero ? 0 : Math.max(0, low - room), highest === undefined ? top : Math.min(highest, top)]
}

function ends(moments: string[]): [Date, Date] {
  const first = new Date(moments[0]!)
  const last = new Date(moments[moments.length - 1]!)
  // One moment alone stands in the middle.
  if (first.getTime() === last.getTime()) {
    return [new Date(first.getTime() - 86_400_000), new Date(last.getTime() + 86_400_000)]
  }
  return [first, last]
}

function tickText(value: number, written: (value: number) => string): string {
  return value >= 10_000 ? format.compact(value) : written(value)
}
