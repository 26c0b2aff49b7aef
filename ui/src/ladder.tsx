/** What tells how far the files came: each sign has the same ladder, and signs need not agree. */
import type { Delivery } from './api'
import * as format from './format'
import { Time } from './parts'

export function Ladders({ signs }: { signs: Delivery['signs'] }) {
  return (
    <div className="ladders">
      {signs.map((sign) => (
        <div key={sign.name} className="ladder">
          <h3>{format.sentenceCase(format.words(sign.name))}</h3>
          <ol>
            {sign.rungs.map((rung) => (
              <li key={rung.rung} className={rung.reached ? 'reached' : undefined}>
                <span className="rung-mark" aria-hidden="true">
                  {rung.reached ? '✓' : ''}
                </span>
                <span>
                  {format.sentenceCase(format.words(rung.rung))}
                  {!rung.reached && <span className="faint"> – {rung.unreached ?? 'not yet'}</span>}
                </span>
                {rung.reached && rung.at && (
                  <span className="sub">
                    <Time at={rung.at} />
                  </span>
                )}
              </li>
            ))}
          </ol>
        </div>
      ))}
    </div>
  )
}
