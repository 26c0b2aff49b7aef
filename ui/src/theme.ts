/** Light or dark, and the colours that an installation gave to Airflow: taken from the window around. */
import { outerWindow } from './route'

const COLOURS = ['brand-solid', 'brand-contrast', 'brand-subtle', 'brand-focus-ring', 'bg', 'fg']

function mode(): 'dark' | 'light' {
  const outer = outerWindow()
  if (outer) {
    const root = outer.document.documentElement
    if (root.classList.contains('dark') || root.dataset.theme === 'dark') return 'dark'
    if (root.classList.contains('light') || root.dataset.theme === 'light') return 'light'
  }
  // Airflow keeps the choice under this name.
  const chosen = stored('theme')
  if (chosen === 'dark' || chosen === 'light') return chosen
  return matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'
}

function stored(name: string): string | null {
  try {
    return localStorage.getItem(name)
  } catch {
    return null
  }
}

function apply(): void {
  const root = document.documentElement
  root.dataset.theme = mode()
  const outer = outerWindow()
  if (!outer) return
  const style = outer.getComputedStyle(outer.document.documentElement)
  for (const name of COLOURS) {
    const value = style.getPropertyValue(`--chakra-colors-${name}`).trim()
    if (value) root.style.setProperty(`--${name}`, value)
  }
}

export function startTheme(): void {
  apply()
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', apply)
  window.addEventListener('storage', apply)
  const outer = outerWindow()
  if (outer) {
    new MutationObserver(apply).observe(outer.document.documentElement, {
      attributes: true,
      attributeFilter: ['class', 'data-theme'],
    })
  }
}
