// The call that asks several soft prompts together.
import type { ClassificationMetrics } from '../engine/evaluation/metrics'
import type { Progress } from './protocol'

export interface EnsembleRequest {
  /** 2 to 5 runs of the race or of the library, of one model and one task; each has a soft prompt and nothing else that is trained. */
  runs: string[]
  split: 'validation' | 'test'
}

export interface EnsembleResult {
  labels: string[]
  /** Each prompt alone, in the order of the request. */
  members: { run: string; metrics: ClassificationMetrics }[]
  /** Most votes. */
  vote: ClassificationMetrics
  /** The highest mean probability. */
  mean: ClassificationMetrics
  seconds: number
}

export interface EnsembleApi {
  /** Asks all prompts in one batch (Lester et al. 2021, section 6). */
  ensemble(request: EnsembleRequest, onProgress: (progress: Progress) => void): Promise<EnsembleResult>
}
