/** The views, and which of them is shown. */
import { lazy, Suspense, useEffect, useRef } from 'react'
import { Boundary } from './boundary'
import { DeliveriesView } from './deliveries'
import { DeliveryView } from './delivery'
import { OutboundView } from './outbound'
import { Empty, Loading } from './parts'
import { framed, isTab, link, scope, usePlace } from './route'

// Most visits end at the table: the chart library comes when it is asked for.
const ChartsView = lazy(() => import('./charts'))

const VIEWS = [
  ['deliveries', 'Deliveries'],
  ['charts', 'Charts'],
  ['outbound', 'Outbound'],
] as const

export function App() {
  const { path, query } = usePlace()
  const view = path[0] ?? 'deliveries'
  const id = view === 'deliveries' ? path[1] : undefined
  const main = useRef<HTMLElement>(null)
  // Without anything after '#' the page shows the deliveries: that is one place, not two.
  const now = [view, ...path.slice(1)].join('/')
  const before = useRef(now)

  useEffect(() => {
    document.title = `${id ?? VIEWS.find(([name]) => name === view)?.[1] ?? 'Page'} · Audience Manager`
    if (now === before.current) return
    before.current = now
    // A reader who followed a link starts at the top of what it leads to.
    window.scrollTo(0, 0)
    main.current?.focus({ preventScroll: true })
  })

  return (
    <>
      {isTab ? <TabHeader /> : <PageHeader view={view} />}
      <main ref={main} tabIndex={-1}>
        <Boundary key={now}>
        {view === 'deliveries' && id === undefined && <DeliveriesView query={query} />}
        {view === 'deliveries' && id !== undefined && <DeliveryView key={id} id={id} />}
        {view === 'charts' && (
          <Suspense fallback={<Loading what="the charts" />}>
            <ChartsView query={query} />
          </Suspense>
        )}
        {view === 'outbound' && <OutboundView query={query} />}
        {!VIEWS.some(([name]) => name === view) && (
          <Empty title="There is no such view">
            <a href={link(['deliveries'])}>Show all deliveries</a>
          </Empty>
        )}
        </Boundary>
      </main>
    </>
  )
}

function PageHeader({ view }: { view: string }) {
  return (
    <header className="page-header">
      <h1>Audience Manager</h1>
      <nav aria-label="Views">
        {VIEWS.map(([name, label]) => (
          <a key={name} href={link([name])} aria-current={name === view ? 'page' : undefined}>
            {label}
          </a>
        ))}
      </nav>
      {!framed && (
        <a className="outside" href={`../plugin/audience-manager${location.hash}`}>
          Open in Airflow
        </a>
      )}
    </header>
  )
}

/** In a tab Airflow says already which DAG or run it is. */
function TabHeader() {
  const what = scope.task_id ? 'this task' : scope.run_id ? 'this run' : 'this DAG'
  return <h1 className="off-screen">Deliveries of {what} to Audience Manager</h1>
}
