// Numbers as people read them: counts, bytes, seconds, rates. British conventions, the same in every locale.

const nothing = '–'

const digits = new Intl.NumberFormat('en-GB', { minimumSignificantDigits: 3, maximumSignificantDigits: 3 })

const grouped = new Intl.NumberFormat('en-GB', { maximumFractionDigits: 0 })

/** A whole number with its thousands grouped: `1,901,696`. */
export function count(value: number): string {
  return Number.isFinite(value) ? grouped.format(value + 0) : nothing
}

/** A count in three digits: `812`, `14.3 k`, `1.90 M`. */
export function shortCount(value: number): string {
  return scaled(value, ['', ' k', ' M', ' G', ' T'])
}

/** Bytes in three digits and decimal units: `640 bytes`, `51.2 kB`, `3.81 MB`. */
export function bytes(value: number): string {
  return scaled(value, [' bytes', ' kB', ' MB', ' GB', ' TB'])
}

/** A time: `42 ms`, `4.2 s`, `38 s`, `2 min 05 s`, `1 h 02 min`. */
export function seconds(value: number): string {
  if (!Number.isFinite(value)) return nothing
  if (value === 0) return '0 s'
  if (value < 0.0995) return `${significant(value * 1000, 2)} ms`
  if (value < 9.95) return `${value.toFixed(1)} s`
  const whole = Math.round(value)
  if (whole < 60) return `${whole} s`
  const minutes = Math.round(value / 60)
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, '0')} s`
  return `${grouped.format(Math.floor(minutes / 60))} h ${String(minutes % 60).padStart(2, '0')} min`
}

/** A number with so many significant digits and no zeros behind: `0.0003`, `12.3`, `1,235`. */
export function significant(value: number, places = 3): string {
  if (!Number.isFinite(value)) return nothing
  // Numbers with more digits before the point keep them.
  const maximumSignificantDigits = Math.max(places, Math.floor(Math.log10(Math.abs(value) || 1)) + 1)
  return new Intl.NumberFormat('en-GB', { maximumSignificantDigits }).format(value + 0)
}

/** A number with so many decimals, and never a minus before nothing: `0.734`. */
export function fixed(value: number, decimals = 3): string {
  if (!Number.isFinite(value)) return nothing
  const text = Math.abs(value).toFixed(decimals)
  return value < 0 && Number(text) !== 0 ? `−${text}` : text
}

/** A change, with its sign: `+0.120`, `−0.020`, `0.000`. */
export function change(value: number, decimals = 3): string {
  const text = fixed(value, decimals)
  return value > 0 && Number(text) !== 0 ? `+${text}` : text
}

/** Three digits in the largest unit of which there is at least one; the first unit has no fractions. */
function scaled(value: number, units: readonly string[]): string {
  if (!Number.isFinite(value)) return nothing
  // What would round to a thousand of one unit is one of the next.
  const unit = units.findIndex((_, u) => Math.abs(value) < 999.5 * 1000 ** u)
  const u = unit < 0 ? units.length - 1 : unit
  const text = u === 0 ? grouped.format(value + 0) : digits.format(value / 1000 ** u)
  return text + (units[u] as string)
}
