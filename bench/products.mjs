// The matrix products that one step of all weights cannot do without, from its shapes, and their floating-point operations.

/** @typedef {import('./tileSpeeds').Product & { count: number }} CountedProduct */

/**
 * Every linear layer `[outputs, inputs]` of a Llama with tied head is three products: `x weight^T`, the gradient of its input and that of its weight. Layers of
 * one input are one product, as the kernels group them. Attention, which is no product of a weight, and whatever is computed twice are left out.
 * @param {Pick<import('./types').StepSpec, 'shape' | 'batch' | 'time'>} step with a label at every token of rows that are all as long as `time`
 * @returns {CountedProduct[]} `count` is how often each is in a step
 */
export function productsOfStep({ shape: { vocabulary, hidden, layers, intermediate }, batch, time }) {
  const rows = batch * time
  const linears = [
    // Query, key and value; output; gate and up; down; head.
    { outputs: 3 * hidden, inputs: hidden, count: layers },
    { outputs: hidden, inputs: hidden, count: layers },
    { outputs: 2 * intermediate, inputs: hidden, count: layers },
    { outputs: hidden, inputs: intermediate, count: layers },
    { outputs: vocabulary, inputs: hidden, count: 1 }
  ]
  return linears.flatMap(
    ({ outputs, inputs, count }) =>
      /** @type {CountedProduct[]} */ ([
        { mode: 'NT', rows, columns: outputs, depth: inputs, count },
        { mode: 'NN', rows, columns: inputs, depth: outputs, count },
        { mode: 'TN', rows: outputs, columns: inputs, depth: rows, count }
      ])
  )
}

/** A multiplication and an addition are two. @param {CountedProduct[]} products */
export const operationsOf = (products) =>
  products.reduce((sum, { rows, columns, depth, count }) => sum + 2 * rows * columns * depth * count, 0)

/** All weights of a Llama with tied head, norms among them. @param {import('./types').LlamaShape} shape */
export function parametersOf({ vocabulary, hidden, layers, intermediate }) {
  return vocabulary * hidden + layers * (4 * hidden ** 2 + 3 * hidden * intermediate + 2 * hidden) + hidden
}
