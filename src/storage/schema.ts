// The shape of everything that comes in from outside: what an archive says of a run is checked against this before use.
import * as v from 'valibot'
import { isRepository, isRevision } from './hubNames'
import type { CheckpointState, StoredRace, StoredRun } from './records'

const number = v.union([v.number(), v.nan()])
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
/** Milliseconds since 1970, as far as dates go. */
const time = v.pipe(v.number(), v.minValue(0), v.maxValue(8.64e15))
const text = v.pipe(v.string(), v.maxLength(10_000))
const id = text
/** A folder below the site's root: never another site, never above. */
const sitePath = v.pipe(v.string(), v.maxLength(200), v.regex(/^[\w-][\w.-]*(\/[\w-][\w.-]*)*$/))

const repositoryName = v.pipe(v.string(), v.check(isRepository))
const revisionName = v.pipe(v.string(), v.check(isRevision))

/** An object of any keys. Not `v.record`, which drops keys such as "constructor" without a word. */
function recordOf<Value>(isValue: (value: unknown) => value is Value) {
  return v.custom<Record<string, Value>>(
    (value) => typeof value === 'object' && value !== null && !Array.isArray(value) && Object.values(value).every(isValue),
    'a map of other values'
  )
}
const isString = (value: unknown) => typeof value === 'string'
const isOptionValue = (value: unknown): value is string | number | boolean => ['string', 'number', 'boolean'].includes(typeof value)

const stepRecord = v.object({
  step: count,
  loss: number,
  learningRates: v.array(number),
  gradientNorm: number,
  tokens: number,
  milliseconds: number
})
const validationRecord = v.object({ step: count, seconds: number, loss: number, accuracy: v.optional(number), f1Macro: v.optional(number) })
const curve = v.object({ steps: v.array(stepRecord), validation: v.array(validationRecord) })

const recipe = v.object({
  parts: v.array(
    v.object({
      method: text,
      options: recordOf(isOptionValue),
      learningRate: number,
      weightDecay: number,
      window: v.optional(v.object({ from: number, to: number }))
    })
  ),
  schedule: v.object({ kind: v.picklist(['constant', 'linear', 'cosine']), warmupSteps: count }),
  optimiser: v.object({ beta1: number, beta2: number, epsilon: number, clipNorm: number }),
  gradientCheckpointing: v.optional(v.boolean()),
  batchSize: count,
  maximumLength: count,
  seed: v.pipe(v.number(), v.safeInteger())
})
const metaLearned = v.object({ iterations: count, innerSteps: count, metaStepSize: number, tasks: v.array(text) })
const runRequest = v.object({ id, name: text, recipe, startedFrom: v.optional(text), metaLearned: v.optional(metaLearned) })

const taskSource = v.variant('kind', [
  v.object({ kind: v.literal('site'), path: sitePath, template: v.optional(text), labelWords: v.optional(recordOf(isString)) }),
  v.object({
    kind: v.literal('file'),
    name: text,
    text: v.string(),
    options: v.object({
      textColumn: v.optional(text),
      labelColumn: v.optional(text),
      template: v.optional(text),
      labelWords: v.optional(recordOf(isString)),
      seed: v.pipe(v.number(), v.safeInteger())
    })
  })
])

const precision = v.optional(v.picklist(['stored', 'float16', 'int8', 'float32']))

const modelSource = v.variant('kind', [
  v.object({ kind: v.literal('site'), path: sitePath, precision }),
  v.object({ kind: v.literal('hub'), repository: repositoryName, revision: revisionName, precision }),
  v.object({ kind: v.literal('local'), name: text, id, precision })
])

const raceRequest = v.object({
  id,
  name: text,
  model: modelSource,
  task: taskSource,
  runs: v.array(runRequest),
  settings: v.object({
    budget: v.variant('kind', [
      v.object({ kind: v.literal('steps'), steps: count }),
      v.object({ kind: v.literal('seconds'), seconds: number })
    ]),
    evaluateEvery: count,
    patience: count,
    trainingExamples: v.optional(count)
  })
})

const scores = { precision: number, recall: number, f1: number }
const metrics = v.object({
  examples: count,
  accuracy: number,
  macro: v.object(scores),
  micro: v.object(scores),
  weighted: v.object(scores),
  perClass: v.array(v.object({ ...scores, support: count })),
  confusion: v.array(v.array(count)),
  rocAucPerClass: v.array(v.nullable(number)),
  rocAuc: v.nullable(number),
  rocCurves: v.array(v.object({ falsePositiveRate: v.array(number), truePositiveRate: v.array(number) })),
  logLoss: number,
  calibrationError: number,
  matthews: number,
  balancedAccuracy: number
})

const stopReason = v.picklist(['budget', 'patience', 'stopped', 'diverged'])

const outcome = {
  stopReason,
  bestStep: count,
  forgetting: v.object({ before: number, after: number, adapterOff: number }),
  cost: v.object({
    seconds: number,
    compileSeconds: number,
    evaluationSeconds: number,
    steps: count,
    tokens: number,
    trainableParameters: number,
    adapterBytes: number,
    peakBytes: number
  })
}

const written = v.object({
  examples: count,
  tokens: count,
  perplexity: number,
  generated: count,
  exactMatch: v.nullable(number),
  tokenF1: v.nullable(number),
  rougeL: v.nullable(number)
})

const result = v.variant('kind', [
  v.object({
    ...outcome,
    // Before answers could be written there was no other kind, and none was named.
    kind: v.optional(v.literal('classification'), 'classification'),
    labels: v.array(text),
    test: metrics,
    validation: metrics,
    untrained: metrics,
    predictions: v.array(v.object({ text: v.string(), label: count, predicted: count, probabilities: v.array(number) }))
  }),
  v.object({
    ...outcome,
    kind: v.literal('generation'),
    test: written,
    validation: written,
    untrained: written,
    outputs: v.array(v.object({ text: v.string(), target: v.string(), output: v.string() }))
  })
])

export const storedRunSchema = v.object({
  id,
  raceId: id,
  name: text,
  request: runRequest,
  curve,
  result: v.optional(result),
  createdAt: time,
  updatedAt: time
}) satisfies v.GenericSchema<unknown, StoredRun>

export const storedRaceSchema = v.object({
  id,
  name: text,
  request: raceRequest,
  phase: v.picklist(['preparing', 'running', 'paused', 'evaluating', 'finished', 'failed']),
  device: v.optional(v.object({ backend: v.picklist(['webgpu', 'wasm', 'webgl']), adapter: text })),
  createdAt: time,
  updatedAt: time
}) satisfies v.GenericSchema<unknown, StoredRace>

const word = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(0xffffffff))
const randomState = v.tuple([word, word, word, word])

export const checkpointStateSchema = v.object({
  step: count,
  partSteps: v.optional(v.array(count)),
  epoch: count,
  position: count,
  epochRandom: randomState,
  random: randomState,
  accounts: v.object({
    trainMilliseconds: number,
    compileMilliseconds: number,
    evaluationMilliseconds: number,
    tokens: number,
    peakBytes: number
  }),
  best: v.object({ step: count, f1Macro: v.optional(number), loss: number, validationsWithoutGain: count }),
  curve,
  stopReason: v.optional(stopReason)
}) satisfies v.GenericSchema<unknown, CheckpointState>

/** Where the first problem lies and what it is, in the schema's words: "run.curve.steps.3.loss: Expected ...". */
export function firstIssue(issues: readonly [v.BaseIssue<unknown>, ...v.BaseIssue<unknown>[]]): string {
  const path = v.getDotPath(issues[0])
  return path ? `${path}: ${issues[0].message}` : issues[0].message
}
