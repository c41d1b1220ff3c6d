// Time left in the grain that an estimate deserves.

export function timeLeft(seconds: number): string {
  if (seconds < 1) return 'almost done'
  if (seconds < 10) return `about ${Math.ceil(seconds)} s left`
  if (seconds < 90) return `about ${Math.ceil(seconds / 5) * 5} s left`
  if (seconds < 3600) return `about ${Math.round(seconds / 60)} min left`
  const hours = Math.floor(seconds / 3600)
  return `about ${hours} h ${Math.round((seconds - 3600 * hours) / 60)} min left`
}
