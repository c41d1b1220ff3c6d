// Times the tilings of matrix products against each other, one size class at a time, between two pieces of work on the device.
import * as tf from '@tensorflow/tfjs'
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
/** Numbers of both operands up to which a product is also checked; those of larger and of packed ones have no contents. */
const MOST_CHECKED = 2 ** 22

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
  /** What the first trial's product gave; another that gives something else is dropped: a driver may number the lanes of a subgroup in its own way. */
  expected?: ArrayLike<number>
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
  const measurement = measurementOf(run, question)
  const { key, trials } = measurement
  if (!trials) return false
  // In turn, so that whatever else the machine does disturbs all alike.
  const next = trials.reduce<Trial | undefined>((least, trial) => (least && least.rounds <= trial.rounds ? least : trial), undefined)
  if (next && next.rounds <= ROUNDS) {
    const { milliseconds, values } = await time(run, question, next)
    next.milliseconds = Math.min(next.milliseconds, milliseconds)
    next.rounds++
    if (values && next.tile.kind !== 'float16') {
      measurement.expected ??= values
      if (!agrees(values, measurement.expected)) trials.splice(trials.indexOf(next), 1)
    }
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

/** Small whole numbers in an order that does not repeat along rows or columns: their products are exact. */
const operand = (size: number, seed: number): Float32Array =>
  Float32Array.from({ length: size }, (_, at) => ((Math.imul(at + seed, 0x9e3779b1) >>> 24) % 17) - 8)

const agrees = (values: ArrayLike<number>, expected: ArrayLike<number>): boolean =>
  values.length === expected.length && Array.from(values).every((value, at) => value === expected[at])

/** Milliseconds of one product; the first time warms up, tells how often to repeat it, and what it gives, where that is checked. */
async function time(
  run: Runner,
  question: TileQuestion,
  { tile, milliseconds }: Trial
): Promise<{ milliseconds: number; values?: ArrayLike<number> }> {
  const { mode, rows, columns, depth, packing } = question
  const isFirst = !Number.isFinite(milliseconds)
  const isChecked = isFirst && !packing && (rows + columns) * depth <= MOST_CHECKED
  const left = isChecked ? run.upload(operand(rows * depth, 1)) : run.allocate([rows, depth])
  const [lines, length] = mode === 'NT' ? [columns, depth] : [depth, columns]
  const right = isChecked ? run.upload(operand(lines * length, 2)) : run.allocate([lines, packing ? wordsPerRow(packing, length) : length])
  const output = run.allocate([rows, columns])
  const repeats = isFirst ? 1 : Math.min(MOST_REPEATS, Math.ceil(LEAST_MILLISECONDS / milliseconds))
  try {
    run.flush()
    await run.device.queue.onSubmittedWorkDone()
    const started = performance.now()
    for (let at = 0; at < repeats; at++) matmul(run, { ...question, left, right, output, tile })
    run.flush()
    await run.device.queue.onSubmittedWorkDone()
    const took = (performance.now() - started) / repeats
    return { milliseconds: took, values: isChecked ? ((await tf.backend().read(output.dataId)) as Float32Array) : undefined }
  } finally {
    run.free(left, right, output)
  }
}
