// A right-padded batch of token sequences and the positions at which a prediction is asked for.
export interface Batch {
  size: number
  /** Padded length, a multiple of 16, so that GPU buffers and pipelines are reused. */
  time: number
  /** `[size * time]`, row by row, padded on the right with the pad token. */
  inputIds: Int32Array
  /** `[size]` real tokens in each row. */
  lengths: Int32Array
  /** `[n]` flat positions (`row * time + position`) whose hidden state predicts the NEXT token. */
  labelRows: Int32Array
  /** `[n]` the token that each of those positions should predict. */
  labelIds: Int32Array
  /** `[n]` weights of the loss, which sum to one for a mean over the batch's label tokens. */
  labelWeights: Float32Array
  /** Of classification, by row: what a label head reads and answers. */
  classes?: BatchClasses
}

export interface BatchClasses {
  /** `[size]` flat positions behind which the answer begins. */
  rows: Int32Array
  /** `[size]` true labels. */
  labels: Int32Array
  /** `[size]` places among the training examples. */
  examples: Int32Array
}

/**
 * The batch with label rows of weight zero at the end, so that their number is one of few, and so are the shapes of steps. At most an eighth more than 16, and
 * the same loss and gradients: what they add is zero.
 */
export function withRoundLabels(batch: Batch): Batch {
  const { labelRows, labelIds, labelWeights } = batch
  const count = labelRows.length
  const unit = Math.max(8, 2 ** (Math.floor(Math.log2(count)) - 3))
  const round = Math.ceil(count / unit) * unit
  if (round === count) return batch
  const repeated = (values: Int32Array): Int32Array => {
    const all = new Int32Array(round).fill(values[count - 1] as number)
    all.set(values)
    return all
  }
  const weights = new Float32Array(round)
  weights.set(labelWeights)
  return { ...batch, labelRows: repeated(labelRows), labelIds: repeated(labelIds), labelWeights: weights }
}
