/** A view that cannot be drawn says so, and the others go on. */
import { Component, type ReactNode } from 'react'

export class Boundary extends Component<{ children: ReactNode }, { error: Error | null }> {
  override state: { error: Error | null } = { error: null }

  static getDerivedStateFromError(error: Error) {
    return { error }
  }

  override render() {
    const { error } = this.state
    if (!error) return this.props.children
    return (
      <div className="failed" role="alert">
        <div>
          <strong>This view could not be drawn</strong>
          <p>Load the page again: it may be older than the server. The error was: {error.message}</p>
        </div>
        <button type="button" onClick={() => location.reload()}>
          Load again
        </button>
      </div>
    )
  }
}
