// Encoded examples as batches, and the order in which training meets them.
import { UserError } from '../engine/errors'
import type { Batch } from '../engine/model/batch'
import { Random, type RandomState } from '../engine/random'
import type { BatchSequenceState } from '../engine/training/data'

/** Token ids of one row: what is read, and what should be answered. Each has at least one token. */
export interface TokenRow {
  promptIds: readonly number[]
  answerIds: readonly number[]
}

/** Padded lengths are multiples of this, so that few shapes occur, and buffers and pipelines are used again. */
const lengthStep = 16

/** Tokens that are read in a row: all but the answer's last, behind which nothing is asked. */
const inputLength = ({ promptIds, answerIds }: TokenRow) => promptIds.length + answerIds.length - 1

/**
 * A right-padded batch with the loss at every answer token: the mean over all of the batch's answer tokens, as Hugging Face computes it.
 * Label rows come row by row, in the answer's order.
 */
export function createBatch(rows: readonly TokenRow[], padToken: number): Batch {
  const longest = rows.reduce((length, row) => Math.max(length, inputLength(row)), 1)
  const time = Math.ceil(longest / lengthStep) * lengthStep
  const inputIds = new Int32Array(rows.length * time).fill(padToken)
  const lengths = new Int32Array(rows.length)
  const labelRows: number[] = []
  const labelIds: number[] = []
  rows.forEach((row, r) => {
    const { promptIds, answerIds } = row
    inputIds.set(promptIds, r * time)
    inputIds.set(answerIds.slice(0, -1), r * time + promptIds.length)
    lengths[r] = inputLength(row)
    answerIds.forEach((id, i) => {
      labelRows.push(r * time + promptIds.length - 1 + i)
      labelIds.push(id)
    })
  })
  return {
    size: rows.length,
    time,
    inputIds,
    lengths,
    labelRows: Int32Array.from(labelRows),
    labelIds: Int32Array.from(labelIds),
    labelWeights: new Float32Array(labelIds.length).fill(1 / labelIds.length)
  }
}

/** Indices of rows in groups of at most `batchSize`, like lengths together, so that little is padded. Longest first: what does not fit fails at once. */
export function groupByLength(rows: readonly TokenRow[], batchSize: number): number[][] {
  const order = rows.map((row, i) => ({ i, length: inputLength(row) })).sort((a, b) => b.length - a.length || a.i - b.i)
  return Array.from({ length: Math.ceil(order.length / batchSize) }, (_, g) =>
    order.slice(g * batchSize, (g + 1) * batchSize).map(({ i }) => i)
  )
}

/** Batches for a loss over all rows; the mean is by label token, so weigh each batch's loss by `labelIds.length`. */
export function lossBatches(rows: readonly TokenRow[], options: { batchSize: number; padToken: number }): Batch[] {
  return groupByLength(rows, options.batchSize).map((group) =>
    createBatch(
      group.map((i) => rows[i] as TokenRow),
      options.padToken
    )
  )
}

/**
 * The order of the training examples, the same for the same seed. Each epoch is a new shuffle, dealt out in full batches; the rest of it,
 * less than a batch, is left out, and is other examples the next time. So no batch mixes epochs or is smaller than the others, and shapes
 * stay the same. Where there are fewer examples than a batch holds, every batch is all of them, in a new order.
 */
export class BatchOrder {
  readonly batchSize: number
  #random: Random
  #epoch = 0
  #position = 0
  #epochRandom: RandomState
  #order: number[]

  /** Goes on from a state; the examples must be those that it was taken with. */
  constructor(
    readonly examples: number,
    batchSize: number,
    seedOrState: number | BatchSequenceState
  ) {
    const state = typeof seedOrState === 'number' ? undefined : seedOrState
    if (examples < 1 || (state && state.position > examples)) {
      throw new UserError(
        examples < 1
          ? 'There are no training examples.'
          : `This run had used ${state?.position} training examples, and there are now ${examples}.`,
        examples < 1 ? 'Choose a task with a training split.' : 'Start the run anew, or bring back the data that it began with.'
      )
    }
    this.batchSize = Math.min(batchSize, examples)
    this.#random = new Random(state?.epochRandom ?? (seedOrState as number))
    this.#epochRandom = this.#random.state
    this.#order = this.#shuffled()
    if (state) [this.#epoch, this.#position] = [state.epoch, state.position]
  }

  get state(): BatchSequenceState {
    return { epoch: this.#epoch, position: this.#position, epochRandom: this.#epochRandom }
  }

  /** Indices of the next batch's examples. */
  next(): number[] {
    if (this.#position + this.batchSize > this.examples) {
      this.#epoch++
      this.#position = 0
      this.#epochRandom = this.#random.state
      this.#order = this.#shuffled()
    }
    const begin = this.#position
    this.#position += this.batchSize
    return this.#order.slice(begin, this.#position)
  }

  #shuffled(): number[] {
    return this.#random.shuffle(Array.from({ length: this.examples }, (_, i) => i))
  }
}
