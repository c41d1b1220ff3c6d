// Low ranks beside linear layers of one input: fused against the composed form, and what a step with them dispatches.
import * as tf from '@tensorflow/tfjs'
import { beforeAll, expect, test } from 'vitest'
import { valueAndGradients } from '../../src/engine/kernels/gradients'
import { linear, linearComposed } from '../../src/engine/kernels/linear'
import { linearGroup, type LinearGroupInputs } from '../../src/engine/kernels/linearGroup'
import { addLowRank } from '../../src/engine/kernels/lowRank'
import { frozenMatrix } from '../../src/engine/kernels/packed'
import { linearGroupFused } from '../../src/engine/kernels/webgpu/linearGroup'
import { runner } from '../../src/engine/kernels/webgpu/run'
import { ia3 } from '../../src/engine/methods/ia3'
import { lora } from '../../src/engine/methods/lora'
import { combineAdaptations } from '../../src/engine/methods/combine'
import { optionsOf } from '../../src/engine/methods/registry'
import { difference, expectSame, normal, startFused, stream } from './fusedHarness'
import { tinyDecoder, tinyLlama, twoTexts } from './tinyModel'

beforeAll(startFused)

const ROWS = 21
const WIDTH = 20

interface Case {
  outs: readonly number[]
  /** By layer; undefined for a layer without one. */
  ranks: readonly (number | undefined)[]
  biased?: boolean
  layout?: 'outIn' | 'inOut'
  residual?: boolean
}

const cases: Record<string, Case> = {
  'three layers': { outs: [24, 12, 12], ranks: [8, 8, 8], biased: true },
  'the first and the last of three, of two ranks': { outs: [24, 12, 12], ranks: [8, undefined, 3] },
  'two layers of odd widths': { outs: [17, 30], ranks: [5, 5] },
  'one layer beside a residual': { outs: [36], ranks: [16], biased: true, residual: true },
  'one layer that lies the other way round': { outs: [24], ranks: [4], layout: 'inOut', biased: true, residual: true }
}

for (const [name, { outs, ranks, biased = false, layout = 'outIn', residual = false }] of Object.entries(cases)) {
  test(`${name}, forward and backward`, async () => {
    const next = stream(outs.length)
    const tensors = {
      x: normal([ROWS, WIDTH], next),
      ...(residual ? { residual: normal([ROWS, outs[0]!], next) } : {}),
      ...Object.fromEntries(
        outs.flatMap((out, at) => {
          const rank = ranks[at]
          return [
            [`weight${at}`, normal(layout === 'outIn' ? [out, WIDTH] : [WIDTH, out], next)],
            ...(biased ? [[`bias${at}`, normal([out], next)]] : []),
            ...(rank
              ? [
                  [`down${at}`, normal([rank, WIDTH], next)],
                  [`up${at}`, normal([out, rank], next)]
                ]
              : [])
          ] as [string, tf.Tensor][]
        })
      )
    }
    const names = Object.keys(tensors)
    const inputsOf = (given: tf.Tensor[]): LinearGroupInputs => {
      const by = (key: string): tf.Tensor | undefined => given[names.indexOf(key)]
      return {
        x: by('x') as tf.Tensor2D,
        weights: outs.map((_, at) => by(`weight${at}`) as tf.Tensor2D),
        layout,
        biases: biased ? outs.map((_, at) => by(`bias${at}`) as tf.Tensor1D) : undefined,
        residual: by('residual') as tf.Tensor2D | undefined,
        lowRanks: ranks.map((rank, at) =>
          rank ? { down: by(`down${at}`) as tf.Tensor2D, up: by(`up${at}`) as tf.Tensor2D, scale: 1.5 } : undefined
        )
      }
    }
    const composed = ({ x, weights, biases, residual: beside, lowRanks = [] }: LinearGroupInputs): tf.Tensor2D[] =>
      weights.map((weight, at) => {
        const y = linearComposed({ x, weight, layout, bias: biases?.[at], residual: beside })
        const { down, up, scale } = lowRanks[at] ?? {}
        if (!down || !up || !scale) return y
        return tf.add(y, tf.mul(tf.matMul(tf.matMul(x, down, false, true), up, false, true), scale))
      })
    const joined =
      (form: (inputs: LinearGroupInputs) => tf.Tensor2D[]) =>
      (...given: tf.Tensor[]): tf.Tensor =>
        tf.concat(form(inputsOf(given)), 1)
    await expectSame(joined(linearGroupFused), joined(composed), Object.values(tensors))
    tf.dispose(tensors)
  })
}

test('beside packed weights, whose input alone has a gradient, nothing that only others need is kept', async () => {
  const next = stream(4)
  const x = normal([9, WIDTH], next) as tf.Tensor2D
  const bytes = new Uint8Array(Float32Array.from({ length: 24 * WIDTH }, () => next() - 0.5).buffer)
  const weight = frozenMatrix(bytes, 'F32', [24, WIDTH], 'float16')
  const lowRank = { down: normal([4, WIDTH], next) as tf.Tensor2D, up: normal([24, 4], next) as tf.Tensor2D, scale: 2 }
  const gradientOf = (form: () => tf.Tensor2D): tf.Tensor => {
    const { value, gradients } = valueAndGradients(() => tf.sum(tf.square(form())), [x])
    value.dispose()
    return gradients[0]!
  }
  const wanted = gradientOf(() => addLowRank(x, linear({ x, weight }), lowRank))
  const got = gradientOf(() => linearGroup({ x, weights: [weight], lowRanks: [lowRank] })[0]!)
  expect(await difference(got, wanted)).toBeLessThan(1e-5)
  tf.dispose([x, lowRank.down, lowRank.up, wanted, got])
  weight.dispose()
})

test('each layer more of LoRA beside every linear layer takes at most 44 dispatches a step, with the loss and gradients of products of their own', async () => {
  const run = runner()
  const measure = async (layers: number): Promise<number> => {
    const decoder = await tinyDecoder({ ...tinyLlama, num_hidden_layers: layers })
    const options = optionsOf(lora, { targets: 'linear', rank: 8 })
    const shapes = Object.entries(lora.trainedShapes({ ...decoder, labels: 0 }, options))
    const next = stream(3)
    const tensors = shapes.map(([, shape]) => normal([...shape], next, 0.1))
    const adaptation = lora.adaptation(Object.fromEntries(shapes.map(([name], at) => [name, tensors[at]!])), decoder.config, options)
    const step = (adapted: typeof adaptation) => valueAndGradients(() => decoder.loss(twoTexts, adapted), tensors)
    tf.dispose(Object.values(step(adaptation)))
    await run.settled
    const before = run.dispatches
    const { kernels, result } = await tf.profile(() => {
      const { value, gradients } = step(adaptation)
      return [value, ...gradients]
    })
    const dispatches = run.dispatches - before
    expect(kernels.map(({ name }) => name)).not.toContain('Multiply')
    const apart = step({
      linear: (path, x, y) => {
        const lowRank = adaptation.lowRank!(path)
        return lowRank ? addLowRank(x, y, lowRank) : y
      }
    })
    for (const [at, tensor] of [apart.value, ...apart.gradients].entries()) {
      expect(await difference((result as tf.Tensor[])[at]!, tensor)).toBeLessThan(1e-5)
    }
    tf.dispose([tensors, result, apart.value, apart.gradients] as tf.TensorContainer)
    decoder.dispose()
    return dispatches
  }
  expect((await measure(3)) - (await measure(2))).toBeLessThanOrEqual(44)
})

test('parts act one after another: what (IA)3 scales holds a low rank in front of it, and not one behind it', async () => {
  const decoder = await tinyDecoder(tinyLlama)
  const next = stream(7)
  const path = 'model.layers.0.self_attn.v_proj'
  const tensors = {
    [`${path}.lora_A.weight`]: normal([2, 20], next) as tf.Tensor2D,
    [`${path}.lora_B.weight`]: normal([12, 2], next) as tf.Tensor2D,
    [`${path}.ia3_l`]: normal([12, 1], next)
  }
  const [a, b] = Object.values(tensors) as [tf.Tensor2D, tf.Tensor2D]
  const [x, y] = [normal([3, 20], next) as tf.Tensor2D, normal([3, 12], next) as tf.Tensor2D]
  const parts = [
    lora.adaptation(tensors, decoder.config, optionsOf(lora, { rank: 2, alpha: 2 })),
    ia3.adaptation(tensors, decoder.config, optionsOf(ia3, {}))
  ]
  const added = tf.matMul(tf.matMul(x, a, false, true), b, false, true)
  const scale = tf.reshape(tensors[`${path}.ia3_l`]!, [1, 12])
  const through = ({ lowRank, linear: hook }: ReturnType<typeof combineAdaptations>): tf.Tensor2D => {
    const told = lowRank?.(path)
    return hook!(path, x, told ? addLowRank(x, y, told) : y)
  }
  expect(await difference(through(combineAdaptations(parts)), tf.mul(tf.add(y, added), scale))).toBeLessThan(1e-5)
  expect(await difference(through(combineAdaptations([...parts].reverse())), tf.add(tf.mul(y, scale), added))).toBeLessThan(1e-5)
  decoder.dispose()
})
