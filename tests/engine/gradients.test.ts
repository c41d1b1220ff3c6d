// The walk over the tape: its gradients against TensorFlow.js's own, and what it frees when.
import * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, test } from 'vitest'
import { isDifferentiated, valueAndGradients } from '../../src/engine/kernels/gradients'
import { backends, useBackend } from './backend'
import { alive } from './tinyRace'

describe.each(backends)('%s', (backend) => {
  beforeAll(() => useBackend(backend))

  const close = async (actual: tf.Tensor, expected: tf.Tensor): Promise<void> => {
    const [a, b] = [await actual.data(), await expected.data()]
    expect(a.length).toBe(b.length)
    for (const [at, value] of b.entries()) expect(a[at]! / value).toBeCloseTo(1, 5)
  }

  test('gradients of a graph with shared, split and unused tensors are those of tf.valueAndGrads', async () => {
    const [a, b, unused] = [
      tf.tensor2d([
        [1, 2],
        [3, 4]
      ]),
      tf.tensor2d([
        [0.5, -1],
        [2, 0.3]
      ]),
      tf.tensor1d([7, 8])
    ]
    // One tensor twice in one operation, one used by several, a branch that leads nowhere, outputs of which one is used.
    const loss = (x: tf.Tensor, y: tf.Tensor): tf.Scalar => {
      tf.exp(tf.mul(x, unused))
      const product = tf.matMul(x as tf.Tensor2D, y as tf.Tensor2D)
      const [first] = tf.unstack(tf.add(product, x))
      return tf.sum<tf.Scalar>(tf.mul(tf.square(first!), tf.sum(tf.mul(product, product))))
    }
    const wanted = tf.valueAndGrads((x: tf.Tensor, y: tf.Tensor) => loss(x, y))([a, b])
    const before = alive()
    const { value, gradients } = valueAndGradients(() => loss(a, b), [a, b])
    await close(value, wanted.value)
    for (const [at, gradient] of gradients.entries()) await close(gradient, wanted.grads[at]!)
    tf.dispose([value, gradients])
    expect(alive()).toEqual(before)
    tf.dispose([a, b, unused, wanted.value, wanted.grads])
  })

  test('what a chain keeps is freed on the way back: at no time is more alive than at the end of the forward pass', () => {
    const [x, w] = [tf.ones([64, 64]), tf.ones([64, 64])]
    const bytes: number[] = []
    const squareOf = tf.customGrad((tensor, save) => {
      const input = tensor as tf.Tensor
      const keep = save as (tensors: tf.Tensor[]) => void
      keep([input])
      return {
        value: tf.square(input),
        gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => {
          bytes.push(tf.memory().numBytes)
          return tf.mul(dy, tf.mul(saved[0]!, 2))
        }
      }
    })
    const { value, gradients } = valueAndGradients(() => {
      let y: tf.Tensor = tf.mul(x, w)
      for (let i = 0; i < 10; i++) y = squareOf(tf.mul(y, 0.5))
      return tf.sum<tf.Scalar>(y)
    }, [w])
    expect(bytes.length).toBe(10)
    expect(bytes.at(-1)!).toBeLessThan(bytes[0]! - 8 * 64 * 64 * 4)
    tf.dispose([x, w, value, gradients])
  })

  test('tells what depends on what is differentiated', () => {
    const [trained, frozen] = [tf.ones([2]), tf.ones([2])]
    const told: boolean[] = []
    const { value, gradients } = valueAndGradients(() => {
      const [one, other] = [tf.square(trained), tf.square(frozen)]
      told.push(isDifferentiated(trained), isDifferentiated(frozen), isDifferentiated(one), isDifferentiated(other))
      return tf.sum<tf.Scalar>(tf.mul(one, other))
    }, [trained])
    expect(told).toEqual([true, false, true, false])
    tf.dispose([trained, frozen, value, gradients])
  })

  test('a loss that does not depend on a trained tensor, or that fails, leaves nothing over', () => {
    const [a, b] = [tf.ones([2]), tf.ones([2])]
    const before = alive()
    expect(() => valueAndGradients(() => tf.sum<tf.Scalar>(tf.square(a)), [a, b])).toThrow('does not depend on trained tensor 1')
    expect(() =>
      valueAndGradients(() => {
        tf.square(tf.square(a))
        throw new Error('no loss')
      }, [a])
    ).toThrow('no loss')
    expect(alive()).toEqual(before)
    const { value, gradients } = valueAndGradients(() => tf.sum<tf.Scalar>(tf.square(a)), [a])
    tf.dispose([a, b, value, gradients])
  })
})
