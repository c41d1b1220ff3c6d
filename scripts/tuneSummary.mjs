// Several seeds of one recipe in a few numbers: the mean of each and how far the seeds lie apart.

/** @typedef {import('../src/headless/result').HeadlessResult} Result */
/** @typedef {{ mean: number, standardDeviation: number, values: number[] }} Spread */

/** Each number of a run that seeds are compared by, where its kind of task has it. @type {Record<string, (result: Result) => number | null | undefined>} */
const numbers = {
  accuracy: ({ metrics }) => ('accuracy' in metrics ? metrics.accuracy : undefined),
  f1Macro: ({ metrics }) => ('f1Macro' in metrics ? metrics.f1Macro : undefined),
  logLoss: ({ metrics }) => ('logLoss' in metrics ? metrics.logLoss : undefined),
  perplexity: ({ metrics }) => ('perplexity' in metrics ? metrics.perplexity : undefined),
  rougeL: ({ metrics }) => ('rougeL' in metrics ? metrics.rougeL : undefined),
  forgotten: ({ forgetting }) => forgetting.after - forgetting.before,
  seconds: ({ cost }) => cost.seconds
}

/**
 * Mean and standard deviation (n - 1 in the denominator; 0 for a single value).
 * @param {number[]} values @returns {Spread}
 */
export function spreadOf(values) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0)
  return { mean, standardDeviation: values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : 0, values }
}

/** @param {Result[]} results of one recipe under several seeds @returns {Record<string, unknown>} */
export function summaryOf(results) {
  /** @type {Record<string, unknown>} */
  const summary = { seeds: results.map(({ recipe }) => recipe.seed) }
  for (const [name, read] of Object.entries(numbers)) {
    const values = results.map(read).filter((value) => typeof value === 'number')
    if (values.length === results.length) summary[name] = spreadOf(values)
  }
  return summary
}
