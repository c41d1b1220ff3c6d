// Times the tilings of matrix products against each other, one size class at a time, between two pieces of work on the device.
import type * as tf from '@tensorflow/tfjs'
import { wordsPerRow } from '../packings'
import { matmul, programOf } from './matmul'
import type { Runner } from './run'
import { candidateIds, CANDIDATES, type CandidateId, type Tile, type TileQuestion } from './tiles'
import { sizeClass, tunerOf } from './tuner'

/**
 * A product is repeated until it takes so long: the queue's own delay then counts for little. Wall time, since browsers round timestamps to 0.1 ms, which
 * is more than a small product takes.
 */
const LEAST_MILLISECONDS = 4
const MOST_REPEATS = 64
const ROUNDS = 3

interface Trial {
  id: CandidateId
  tile: Tile
  /** The least so far. */
  milliseconds: number
  rounds: number
}

/** The size class that is being measured. */
interface Measurement {
  key: string
  compiling: Promise<void>
  /** Undefined while they are being compiled. */
  trials?: Trial[]
}

const measurements = new WeakMap<Runner, Measurement>()

/**
 * Does the next piece of the tuner's work: has the candidates of one size class compiled, behind whatever else goes on, or times one of them. Nothing else
 * may use the device meanwhile. True where that led to a choice.
 */
export async function measureNext(run: Runner): Promise<boolean> {
  const tuner = tunerOf(run)
  const question = tuner.next()
  if (!question) return false
  const { key, trials } = measurementOf(run, question)
  if (!trials) return false
  // In turn, so that whatever else the machine does disturbs all alike.
  const next = trials.reduce<Trial | undefined>((least, trial) => (least && least.rounds <= trial.rounds ? least : trial), undefined)
  if (next && next.rounds <= ROUNDS) {
    next.milliseconds = Math.min(next.milliseconds, await time(run, question, next))
    next.rounds++
    return false
  }
  const [best] = [...trials].sort((a, b) => a.milliseconds - b.milliseconds)
  const { rows, columns, depth } = question
  tuner.choose(key, best && { candidate: best.id, gigaflops: (2 * rows * columns * depth) / best.milliseconds / 1e6 })
  return best !== undefined
}

/** Does all of the tuner's work that is open; `turn` runs a piece of it when the device is free. */
export async function measureAll(run: Runner, turn: (piece: () => Promise<unknown>) => Promise<unknown>): Promise<void> {
  while (tunerOf(run).pending > 0) {
    await turn(() => measureNext(run))
    await measurements.get(run)?.compiling
  }
}

function measurementOf(run: Runner, question: TileQuestion): Measurement {
  const key = sizeClass(question)
  let found = measurements.get(run)
  if (found?.key !== key) {
    const begun: Measurement = { key, compiling: Promise.resolve() }
    begun.compiling = compiledTrials(run, question).then((trials) => void (begun.trials = trials))
    measurements.set(run, begun)
    found = begun
  }
  return found
}

const NOTHING: tf.TensorInfo = { dataId: {}, shape: [], dtype: 'float32' }

/** Those of the candidates that suit the product and that this device can compile, one compiled after the other. */
async function compiledTrials(run: Runner, question: TileQuestion): Promise<Trial[]> {
  const trials: Trial[] = []
  for (const id of candidateIds) {
    const tile = CANDIDATES[id].tile(question)
    if (!tile) continue
    const isCompiled = await run.compile(programOf({ ...question, left: NOTHING, right: NOTHING, output: NOTHING, tile }))
    if (isCompiled) trials.push({ id, tile, milliseconds: Infinity, rounds: 0 })
  }
  return trials
}

/** Milliseconds of one product; the first time warms up and tells how often to repeat it. */
async function time(run: Runner, question: TileQuestion, { tile, milliseconds }: Trial): Promise<number> {
  const { mode, rows, columns, depth, packing } = question
  const [lines, length] = mode === 'NT' ? [columns, depth] : [depth, columns]
  const left = run.allocate([rows, depth])
  const right = run.allocate([lines, packing ? wordsPerRow(packing, length) : length])
  const output = run.allocate([rows, columns])
  const repeats = Number.isFinite(milliseconds) ? Math.min(MOST_REPEATS, Math.ceil(LEAST_MILLISECONDS / milliseconds)) : 1
  try {
    run.flush()
    await run.device.queue.onSubmittedWorkDone()
    const started = performance.now()
    for (let at = 0; at < repeats; at++) matmul(run, { ...question, left, right, output, tile })
    run.flush()
    await run.device.queue.onSubmittedWorkDone()
    return (performance.now() - started) / repeats
  } finally {
    run.free(left, right, output)
  }
}
