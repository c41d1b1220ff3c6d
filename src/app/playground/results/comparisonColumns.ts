// The order of the comparison's columns, and which of them is best in a row.
import type { RunResult } from '../../../engine/training/records'
import type { MetricRow } from '../../../engine/evaluation/metricTable'

export interface Column {
  id: string
  name: string
  place: number
  result?: RunResult
}

/** Columns by a metric, the best first, those without a value last; without a metric in the race's order. */
export function sortColumns(columns: readonly Column[], row: MetricRow | undefined): Column[] {
  const byPlace = [...columns].sort((a, b) => a.place - b.place)
  if (!row) return byPlace
  const sign = row.better === 'lower' ? 1 : -1
  const key = (column: Column) => valueOf(column, row)
  return byPlace.sort((a, b) => {
    const [x, y] = [key(a), key(b)]
    if (x === undefined || y === undefined) return Number(x === undefined) - Number(y === undefined)
    return sign * (x - y)
  })
}

/** Ids of the columns whose value is the best as it is shown; none where all are equal. */
export function bestColumns(columns: readonly Column[], row: MetricRow): ReadonlySet<string> {
  const measured = columns.flatMap((column) => {
    const value = valueOf(column, row)
    return value === undefined ? [] : [{ id: column.id, value }]
  })
  if (row.better === 'none') return new Set()
  const values = measured.map(({ value }) => value)
  const best = row.better === 'higher' ? Math.max(...values) : Math.min(...values)
  const winners = measured.filter(({ value }) => row.format(value) === row.format(best))
  return winners.length === measured.length ? new Set() : new Set(winners.map(({ id }) => id))
}

function valueOf({ result }: Column, row: MetricRow): number | undefined {
  const value = result && row.value(result)
  return value === null || value === undefined || !Number.isFinite(value) ? undefined : value
}
