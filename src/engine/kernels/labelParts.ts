// How many rows of logits exist at a time: the loss takes its label rows in parts, so that a large vocabulary does not decide the peak of a step.

/** Less than this is not worth five dispatches more. */
const LEAST_BYTES = 2 ** 20

/** Parts of evaluations, which hold little else. */
const MOST_BYTES = 64 * 2 ** 20

const FLOAT32_BYTES = 4

/** Where a part begins, in bytes, is a multiple of this: WebGPU's largest alignment of a binding. */
const ALIGNMENT = 256

const greatestCommonDivisor = (a: number, b: number): number => (b === 0 ? a : greatestCommonDivisor(b, a % b))

/** Bytes that a training step's logits may take at a time: half of what the vocabulary's table takes. */
export function trainingLogitsBytes(vocabulary: number, hidden: number): number {
  return Math.min(MOST_BYTES, Math.max(LEAST_BYTES, (FLOAT32_BYTES * vocabulary * hidden) / 2))
}

/**
 * Rows of a part: all, or so many of like size that the logits of each fit into `bytes`. Where a part of `[rows, hidden]` float32 begins can be bound as a
 * buffer of its own.
 */
export function rowsOfPart(rows: number, vocabulary: number, hidden: number, bytes = MOST_BYTES): number {
  const most = Math.max(1, Math.floor(bytes / (FLOAT32_BYTES * vocabulary)))
  const step = ALIGNMENT / FLOAT32_BYTES / greatestCommonDivisor(ALIGNMENT / FLOAT32_BYTES, hidden)
  const even = Math.ceil(rows / Math.ceil(rows / most))
  return Math.min(rows, step * Math.ceil(even / step))
}
