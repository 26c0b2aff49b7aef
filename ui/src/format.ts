/** Numbers, dates and words as people read them. Dates are in UTC, as Airflow's runs are. */

const LANGUAGE = 'en'
const whole = new Intl.NumberFormat(LANGUAGE)
const oneDigit = new Intl.NumberFormat(LANGUAGE, { maximumFractionDigits: 1 })
const twoFigures = new Intl.NumberFormat(LANGUAGE, { maximumSignificantDigits: 2 })
const short = new Intl.NumberFormat(LANGUAGE, { notation: 'compact', maximumFractionDigits: 1 })
const rules = new Intl.PluralRules(LANGUAGE)
const relative = new Intl.RelativeTimeFormat(LANGUAGE, { numeric: 'always' })

export const NOTHING = '–'

export function number(value: number | null | undefined): string {
  return value === null || value === undefined ? NOTHING : whole.format(value)
}

export function compact(value: number): string {
  return short.format(value)
}

/** '1 row', '2 rows', '1,024 rows'. */
export function counted(value: number, one: string, many = `${one}s`): string {
  return `${whole.format(value)} ${rules.select(value) === 'one' ? one : many}`
}

/** Never rounds up to 100 % or down to 0 %: one lost record in a million must be seen. */
export function percent(value: number | null | undefined): string {
  if (value === null || value === undefined) return NOTHING
  const rounded = Math.round(value * 1000) / 10
  if (rounded >= 100 && value < 1) return '> 99.9 %'
  if (value > 0 && value < 0.00001) return '< 0.001 %'
  return `${value > 0 && value < 0.01 ? twoFigures.format(value * 100) : oneDigit.format(rounded)} %`
}

export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined) return NOTHING
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let amount = value
  let unit = 0
  while (amount >= 999.5 && unit < units.length - 1) {
    amount /= 1000
    unit += 1
  }
  const digits = unit === 0 || amount >= 100 ? Math.round(amount) : Math.round(amount * 10) / 10
  return `${oneDigit.format(digits)} ${units[unit]}`
}

const day = new Intl.DateTimeFormat('en-GB', { timeZone: 'UTC', day: 'numeric', month: 'short', year: 'numeric' })
const dayOnly = new Intl.DateTimeFormat('en-GB', { timeZone: 'UTC', day: 'numeric', month: 'short' })
const monthOnly = new Intl.DateTimeFormat('en-GB', { timeZone: 'UTC', month: 'short' })
const clock = new Intl.DateTimeFormat('en-GB', { timeZone: 'UTC', hour: '2-digit', minute: '2-digit' })
const local = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'long' })

function parsed(text: string | null | undefined): Date | null {
  if (!text) return null
  const date = new Date(text)
  return Number.isNaN(date.getTime()) ? null : date
}

export function date(text: string | null | undefined): string {
  const value = parsed(text)
  return value ? day.format(value) : NOTHING
}

export function decimal(value: number | null | undefined): string {
  return value === null || value === undefined ? NOTHING : oneDigit.format(value)
}

export function month(text: string): string {
  const value = parsed(text)
  return value ? monthOnly.format(value) : text
}

/** All days from one to another, both included. */
export function days(since: string, until: string): string[] {
  const found = []
  for (let at = Date.parse(since); at <= Date.parse(until); at += 86_400_000) {
    found.push(new Date(at).toISOString().slice(0, 10))
  }
  return found
}

/** For the axis of a chart: no year. */
export function shortDate(text: string): string {
  const value = parsed(text)
  return value ? dayOnly.format(value) : text
}

export function time(text: string | null | undefined): string {
  const value = parsed(text)
  return value ? `${day.format(value)}, ${clock.format(value)}` : NOTHING
}

export function localTime(text: string | null | undefined): string | undefined {
  const value = parsed(text)
  return value ? `Local time: ${local.format(value)}` : undefined
}

const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
]

/** '3 hours ago', from now. */
export function ago(text: string | null | undefined): string {
  const value = parsed(text)
  if (!value) return NOTHING
  const seconds = (value.getTime() - Date.now()) / 1000
  for (const [unit, length] of STEPS) {
    if (Math.abs(seconds) >= length) return relative.format(Math.trunc(seconds / length), unit)
  }
  return 'just now'
}

/** A whole day in UTC is that day; else both ends. */
export function window_(window: { start: string; end: string } | null): string {
  if (!window) return NOTHING
  const start = parsed(window.start)
  const end = parsed(window.end)
  if (!start || !end) return `${window.start} to ${window.end}`
  const midnight = (at: Date) => at.getTime() % 86_400_000 === 0
  if (midnight(start) && midnight(end)) {
    const last = new Date(end.getTime() - 86_400_000)
    if (last <= start) return day.format(start)
    return `${dayOnly.format(start)} to ${day.format(last)}`
  }
  if (day.format(start) === day.format(end)) {
    return `${day.format(start)}, ${clock.format(start)} to ${clock.format(end)}`
  }
  return `${dayOnly.format(start)}, ${clock.format(start)} to ${dayOnly.format(end)}, ${clock.format(end)}`
}

/** 'picked_up' → 'picked up'. */
export function words(name: string): string {
  return name.replaceAll('_', ' ')
}

/** A sentence has its full stop, whether it came with one or not. */
export function sentence(text: string): string {
  return /[.!?:]$/.test(text) ? sentenceCase(text) : `${sentenceCase(text)}.`
}

export function sentenceCase(text: string): string {
  // A name, such as that of a limit, stays as it is written elsewhere; an address too.
  if (/^\w+(_|:\/\/)/.test(text)) return text
  return text.charAt(0).toUpperCase() + text.slice(1)
}
