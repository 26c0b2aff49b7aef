export default function ChartsView(_: { query: Record<string, string> }) {
  return null
}
