// How long a race will still take, from what was measured so far.
import type { DecoderConfig } from '../model/config'

/** What one run still has to do. Milliseconds are wall time of work to come, compilation left out. */
export interface RunOutlook {
  /** Of one training step; undefined before the first. */
  stepMilliseconds: number | undefined
  stepsDone: number
  /** Left of the budget; none where the run has stopped. */
  left: { kind: 'steps'; steps: number } | { kind: 'seconds'; seconds: number }
  evaluateEvery: number
  /** Of one validation. */
  validationMilliseconds: number
  /** Of everything after the last step: validation and test split at the best checkpoint, forgetting. */
  closingMilliseconds: number
}

/** Seconds until the last of the runs, which advance in turn, is done; undefined while a run that has steps left was not measured yet. */
export function etaSeconds(runs: readonly RunOutlook[]): number | undefined {
  let milliseconds = 0
  for (const run of runs) {
    milliseconds += run.closingMilliseconds
    if (run.left.kind === 'steps' ? run.left.steps === 0 : run.left.seconds <= 0) continue
    if (run.stepMilliseconds === undefined) return undefined
    const steps = run.left.kind === 'steps' ? run.left.steps : Math.ceil((run.left.seconds * 1000) / run.stepMilliseconds)
    milliseconds += run.left.kind === 'steps' ? steps * run.stepMilliseconds : run.left.seconds * 1000
    milliseconds += validationsLeft(run.stepsDone, steps, run.evaluateEvery) * run.validationMilliseconds
  }
  return milliseconds / 1000
}

/** Validations at the multiples of `every` after `done`, and one at the end where that is none of them. */
function validationsLeft(done: number, left: number, every: number): number {
  const end = done + left
  return Math.floor(end / every) - Math.floor(done / every) + (end % every === 0 ? 0 : 1)
}

/** Multiply-adds of a forward pass that predicts `labelRows` of `tokens` positions, attention scores left out: what evaluation time is scaled by. */
export function forwardWork(config: DecoderConfig, tokens: number, labelRows: number): number {
  const attention = config.hiddenSize * config.headSize * (2 * config.heads + 2 * config.keyValueHeads)
  const mlp = (config.mlp === 'swiglu' ? 3 : 2) * config.hiddenSize * config.intermediateSize
  return tokens * config.layers * (attention + mlp) + labelRows * config.vocabularySize * config.hiddenSize
}
