/** From rows read to records stored: how many are left at each step. */
import type { Delivery } from './api'
import * as format from './format'

/** What became of those that a step has fewer than the one before. */
const LOST: Record<string, string> = {
  rows_written: 'set aside',
  // Rows of one user may share a line.
  lines: 'joined to others',
  stored: 'not stored',
}

export function Funnel({ steps }: { steps: Delivery['funnel'] }) {
  const most = Math.max(1, ...steps.map((step) => step.count ?? 0))
  return (
    <ol className="funnel">
      {steps.map((step, index) => {
        const before = index > 0 ? steps[index - 1]!.count : null
        const less = before !== null && step.count !== null ? before - step.count : 0
        return (
          <li key={step.step}>
            <span className="funnel-label">{format.sentenceCase(step.label)}</span>
            <span className="funnel-track" aria-hidden="true">
              <span className={`funnel-bar ${step.step}`} style={{ width: `${((step.count ?? 0) / most) * 100}%` }} />
            </span>
            <span className="funnel-count">
              {step.count === null ? <span className="faint">not known</span> : format.number(step.count)}
            </span>
            <span className="funnel-less">
              {less !== 0 && `${less > 0 ? '−' : '+'}${format.number(Math.abs(less))}`}
              {less > 0 && LOST[step.step] && ` ${LOST[step.step]}`}
            </span>
          </li>
        )
      })}
    </ol>
  )
}
