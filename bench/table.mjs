// A table and its numbers as Markdown, which a terminal shows as well.

/** @param {number | null | undefined} value @param {number} [digits] */
export const number = (value, digits = 1) => (value == null ? 'not measured' : value.toFixed(digits))

/** @param {string[]} head @param {(string | number)[][]} rows the first column is text, the others are numbers */
export function table(head, rows) {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => String(row[column]).length)))
  const cell = (/** @type {string | number} */ value, /** @type {number} */ column) => {
    const width = widths[column] ?? 0
    return column === 0 ? String(value).padEnd(width) : String(value).padStart(width)
  }
  const line = (/** @type {(string | number)[]} */ row) => `| ${row.map(cell).join(' | ')} |`
  const rule = `| ${widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`
  return [line(head), rule, ...rows.map(line)].join('\n')
}

/** GFLOP/s by tile, and what the tile that steps use reaches of the best. @param {import('./tileSpeeds').TileSpeed[]} products */
export function tileTable(products) {
  const names = [...new Set(products.flatMap(({ tiles }) => Object.keys(tiles)))]
  return table(
    ['product', ...names, 'of the best'],
    products.map(({ mode, rows, columns, depth, tiles, chosen }) => [
      `${mode} ${rows} x ${columns} x ${depth}`,
      ...names.map((name) => tiles[name]?.toFixed(2) ?? ''),
      `${number((100 * (tiles[chosen] ?? NaN)) / Math.max(...Object.values(tiles)), 0)} %`
    ])
  )
}
