/** Links to Airflow's own pages, out of its frame. */
import type { MouseEvent, ReactNode } from 'react'
import { outerWindow } from './route'

/**
 * Airflow's frame lets no page inside it open or replace a window, so a plain target="_top" does
 * nothing. The link is followed by the window around, which is of the same origin.
 */
function follow(event: MouseEvent<HTMLAnchorElement>): void {
  const outer = outerWindow()
  if (!outer || event.defaultPrevented || event.button !== 0) return
  event.preventDefault()
  const anchor = outer.document.createElement('a')
  anchor.href = event.currentTarget.href
  if (event.ctrlKey || event.metaKey || event.shiftKey) {
    anchor.target = '_blank'
    anchor.rel = 'noopener'
  }
  outer.document.body.append(anchor)
  anchor.click()
  anchor.remove()
}

export function AirflowLink({
  href,
  children,
  className,
  title,
}: {
  href: string | null
  children: ReactNode
  className?: string
  title?: string
}) {
  if (href === null) return <span title={title}>{children}</span>
  return (
    <a href={href} target="_top" className={className} title={title} onClick={follow}>
      {children}
    </a>
  )
}

/** Saves a file. A frame of Airflow 3.1 and 3.2 may not, the window around it may. */
export function save(file: Blob, name: string): void {
  const place = (outerWindow() ?? window).document
  const anchor = place.createElement('a')
  anchor.href = URL.createObjectURL(file)
  anchor.download = name
  place.body.append(anchor)
  anchor.click()
  anchor.remove()
  setTimeout(() => URL.revokeObjectURL(anchor.href), 60_000)
}

/** Airflow's login, and back to where the user was. */
export function loginAddress(): string {
  const { pathname, search, hash } = (outerWindow() ?? window).location
  return `../api/v2/auth/login?next=${encodeURIComponent(pathname + search + hash)}`
}
