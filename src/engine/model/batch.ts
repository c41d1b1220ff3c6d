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
