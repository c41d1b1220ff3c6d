import * as tf from '@tensorflow/tfjs'
import { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu'
import { expect, test } from 'vitest'
test('webgpu', async () => {
  const a = await navigator.gpu.requestAdapter()
  console.log(JSON.stringify(a!.info), a!.info.vendor, a!.info.architecture, a!.info.description, [...a!.features].join(' '))
  console.log(a!.limits.maxStorageBufferBindingSize, a!.limits.maxBufferSize, a!.limits.maxStorageBuffersPerShaderStage)
  await tf.setBackend('webgpu'); await tf.ready()
  const x = tf.matMul(tf.ones([64, 64]), tf.ones([64, 64]))
  expect((await x.data())[5]).toBe(64)
  console.log(tf.getBackend(), WebGPUBackend.name)
})
