/** What happened over days and weeks: each chart has its figures as a table as well. */
import { useMemo } from 'react'
import { type Answer, address, type Audiences, type Calendar, type Facets, type Quality, type Records, useAnswer } from './api'
import { CalendarChart } from './charts/calendar'
import { Legend } from './charts/frame'
import { ExpiryChart } from './charts/expiry'
import { type Line, LineChart } from './charts/lines'
import { StackChart } from './charts/stack'
import * as format from './format'
import { Card, Empty, Failed, Loading } from './parts'
import { link, replace } from './route'

const PERIODS = ['14', '30', '90', '365']
const DEFAULT = '30'
/** In the order in which series and reasons get them: told apart by brightness as well as by hue. */
const SERIES = ['var(--blue)', 'var(--orange)', 'var(--teal)', 'var(--violet)', 'var(--pink)', 'var(--gray)']
const FAILED = ['var(--red)', 'var(--amber)', 'var(--violet)', 'var(--pink)', 'var(--cyan)', 'var(--gray)']

export default function ChartsView({ query }: { query: Record<string, string> }) {
  const days = PERIODS.includes(query.days ?? '') ? query.days! : DEFAULT
  const range = useMemo(() => lastDays(Number(days)), [days])
  const { data: facets } = useAnswer<Facets>(address('facets'))
  const filter = { ...range, data_source: query.data_source }
  const calendar = useAnswer<Calendar>(address('calendar', { ...range, environment: query.environment }))
  const records = useAnswer<Records>(address('charts/records', filter))
  const quality = useAnswer<Quality>(address('charts/quality', filter))
  const audiences = useAnswer<Audiences>(address('charts/audiences', filter))
  const answers = [calendar, records, quality, audiences]
  // Who is logged out, or has no network, is told once and not in each chart.
  const away = answers.find(({ error }) => error?.status === 401 || error?.status === 0)?.error
  const choose = (name: string, value: string) => replace(link(['charts'], { ...query, [name]: value }))
  return (
    <>
      <div className="filters" role="search" aria-label="Filter charts">
        <label>
          Period
          <select value={days} onChange={(event) => choose('days', event.target.value)}>
            {PERIODS.map((period) => (
              <option key={period} value={period}>
                Last {period} days
              </option>
            ))}
          </select>
        </label>
        <Choice label="Data source" value={query.data_source} options={facets?.data_sources} choose={(value) => choose('data_source', value)} />
        <Choice label="Environment (calendar)" value={query.environment} options={facets?.environments} choose={(value) => choose('environment', value)} />
      </div>
      {away && <Failed error={away} retry={() => answers.forEach(({ reload }) => reload())} />}
      <div className="charts" hidden={away !== undefined}>
        <Card title="What was due, day by day" note={<StatusLegend />} full>
          <Drawn answer={calendar} what="the calendar" empty={(data) => data.days.length === 0}>
            {(data) => <CalendarChart days={data.days} since={range.since} until={range.until} />}
          </Drawn>
        </Card>
        <Card title="Records by day" note="As the receipts count them: stored, and failed by reason" full>
          <Drawn answer={records} what="records" empty={(data) => data.days.length === 0}>
            {(data) => <RecordsChart data={data} dates={format.days(range.since, range.until)} />}
          </Drawn>
        </Card>
        <Card title="Match rate" note="Stored of received, by week">
          <Drawn answer={quality} what="the match rate" empty={(data) => !data.weeks.some((week) => week.match_rate !== null)}>
            {(data) => (
              <LineChart
                label="Match rate by week"
                lines={[line('Match rate', SERIES[0]!, data, (week) => week.match_rate)]}
                limits={[limit(data.limits.min_match_rate, `Lowest allowed: ${format.percent(data.limits.min_match_rate)}`)]}
                format={format.percent}
                axis="Week of"
                highest={1}
              />
            )}
          </Drawn>
        </Card>
        <Card title="Hours to acknowledgement" note="From sent to acknowledged, by week">
          <Drawn
            answer={quality}
            what="the times"
            empty={(data) => !data.weeks.some((week) => week.hours_to_acknowledgement?.median != null)}
          >
            {(data) => (
              <LineChart
                label="Hours to acknowledgement by week"
                lines={[
                  line('Median', SERIES[0]!, data, (week) => week.hours_to_acknowledgement?.median ?? null),
                  line('Longest', SERIES[1]!, data, (week) => week.hours_to_acknowledgement?.longest ?? null),
                ]}
                limits={[
                  limit(
                    data.limits.max_hours_to_acknowledgement,
                    `Limit: ${format.counted(data.limits.max_hours_to_acknowledgement ?? 0, 'hour')}`,
                  ),
                ]}
                format={(value) => (value === null ? format.NOTHING : `${format.decimal(value)} h`)}
                axis="Week of"
                fromZero
              />
            )}
          </Drawn>
        </Card>
        <Card title="Share set aside" note="Of rows read, by week; a repeated line is set aside and nothing is lost with it">
          <Drawn answer={quality} what="shares" empty={(data) => !data.weeks.some((week) => week.set_aside_share !== null)}>
            {(data) => (
              <LineChart
                label="Share of rows set aside by week"
                lines={[
                  line('Set aside', SERIES[3]!, data, (week) => week.set_aside_share),
                  line('Lost with it', SERIES[1]!, data, (week) => week.lost_share),
                ]}
                limits={[limit(data.limits.max_set_aside, `Most that may be lost: ${format.percent(data.limits.max_set_aside)}`)]}
                format={format.percent}
                axis="Week of"
                fromZero
              />
            )}
          </Drawn>
        </Card>
        <Card title="Days until traits expire" note="If nothing is sent again">
          <Drawn answer={audiences} what="the days left" empty={(data) => data.expiry.length === 0}>
            {(data) => <ExpiryChart expiry={data.expiry} />}
          </Drawn>
        </Card>
        <Card title="Size of audiences sent" note="Lines a day, by data source" full>
          <Drawn answer={audiences} what="sizes" empty={(data) => data.days.length === 0}>
            {(data) => (
              <LineChart label="Lines a day, by data source" lines={bySource(data)} format={format.number} axis="Date" fromZero />
            )}
          </Drawn>
        </Card>
      </div>
    </>
  )
}

function Choice({
  label,
  value,
  options,
  choose,
}: {
  label: string
  value: string | undefined
  options: string[] | undefined
  choose: (value: string) => void
}) {
  return (
    <label>
      {label}
      <select value={value ?? ''} className={value ? 'set' : undefined} onChange={(event) => choose(event.target.value)}>
        <option value="">All</option>
        {value && !options?.includes(value) && <option>{value}</option>}
        {options?.map((option) => (
          <option key={option}>{option}</option>
        ))}
      </select>
    </label>
  )
}

function Drawn<T>({
  answer,
  what,
  empty,
  children,
}: {
  answer: Answer<T>
  what: string
  empty: (data: T) => boolean
  children: (data: T) => React.ReactNode
}) {
  const { data, error, reload } = answer
  if (error) return <Failed error={error} retry={reload} />
  if (!data) return <Loading what={what} />
  if (empty(data)) return <Empty title="Nothing in this period" />
  return <>{children(data)}</>
}

function StatusLegend() {
  return (
    <Legend
      items={[
        ['Delivered', 'var(--green)'],
        ['Waiting', 'var(--amber)'],
        ['Needs attention', 'var(--violet)'],
        ['Rejected or failed', 'var(--red)'],
        ['Nothing due', 'var(--bg-strong)'],
      ]}
    />
  )
}

function RecordsChart({ data, dates }: { data: Records; dates: string[] }) {
  const found = new Map(data.days.map((day) => [day.date, day]))
  const totals = new Map<string, number>()
  for (const day of data.days) {
    for (const [reason, count] of Object.entries(day.failed)) totals.set(reason, (totals.get(reason) ?? 0) + count)
  }
  const reasons = [...totals].filter(([, count]) => count > 0).sort((a, b) => b[1] - a[1])
  return (
    <StackChart
      label="Records stored and failed, by day"
      days={dates.map((date) => {
        const day = found.get(date)
        return { date, counts: day ? { Stored: day.stored, ...day.failed } : {} }
      })}
      series={[['Stored', 'var(--green)'], ...reasons.map(([reason], at): [string, string] => [reason, FAILED[at % FAILED.length]!])]}
    />
  )
}

type Week = Quality['weeks'][number]

function line(name: string, colour: string, data: Quality, value: (week: Week) => number | null): Line {
  return { name, colour, points: data.weeks.map((week) => ({ at: week.week, value: value(week) })) }
}

function limit(value: number | null | undefined, label: string) {
  return value === null || value === undefined ? null : { value, label }
}

function bySource(data: Audiences): Line[] {
  const sources = [...new Set(data.days.map((day) => day.data_source))].sort()
  return sources.map((source, at) => ({
    name: source,
    colour: SERIES[at % SERIES.length]!,
    points: data.days.filter((day) => day.data_source === source).map((day) => ({ at: day.date, value: day.lines })),
  }))
}

function lastDays(count: number): { since: string; until: string } {
  const now = Date.now()
  const day = (at: number) => new Date(at).toISOString().slice(0, 10)
  return { since: day(now - (count - 1) * 86_400_000), until: day(now) }
}
