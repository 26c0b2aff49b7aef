/** What the guard compared this delivery with, and what was decided. */
import type { Guard } from './api'
import * as format from './format'
import { Note, TableBox, Time } from './parts'

export function GuardPart({ guard }: { guard: Guard }) {
  const figures = [...new Set(guard.history.flatMap((day) => Object.keys(day.figures)))]
  return (
    <>
      {guard.decision && <Decision decision={guard.decision} />}
      {guard.limits.length > 0 && (
        <ul className="limits">
          {guard.limits.map((limit) => (
            <li key={typeof limit === 'string' ? limit : limit.name}>
              {typeof limit === 'string' ? limit : `${format.sentenceCase(format.words(limit.name))}: ${String(limit.value)}`}
            </li>
          ))}
        </ul>
      )}
      {guard.history.length === 0 ? (
        <p className="faint">There is no earlier delivery to compare with.</p>
      ) : (
        <TableBox label="Earlier deliveries that the guard compares with">
          <table className="compact">
            <thead>
              <tr>
                <th scope="col">Date</th>
                {figures.map((name) => (
                  <th key={name} scope="col" className="num">
                    {format.sentenceCase(format.words(name))}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {guard.history.map((day, index) => (
                <tr key={`${day.date} ${index}`}>
                  <th scope="row">
                    <Time at={day.date} day />
                  </th>
                  {figures.map((name) => (
                    <td key={name} className="num">
                      {format.number(day.figures[name])}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </TableBox>
      )}
    </>
  )
}

function Decision({ decision }: { decision: NonNullable<Guard['decision']> }) {
  return (
    <Note tone={decision.approved ? 'blue' : 'red'} title={decision.approved ? 'Approved' : 'Rejected'}>
      {decision.by && <>by {decision.by}</>}
      {decision.at && (
        <>
          {decision.by && ', '}
          <Time at={decision.at} />
        </>
      )}
      {decision.note && <blockquote>{decision.note}</blockquote>}
    </Note>
  )
}
