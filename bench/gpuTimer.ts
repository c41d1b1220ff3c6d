// GPU time of every dispatch of a step, by program: each in a compute pass of its own, between two timestamps.
import type { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu'
import type { Runner } from '../src/engine/kernels/webgpu/run'

interface Internals {
  device: GPUDevice
  queue: GPUQueue
  commandEncoder: GPUCommandEncoder | null
  computePassEncoder: GPUComputePassEncoder | null
  ensureCommandEncoderReady(): void
  endComputePassEncoder(): void
  submitQueue(): void
  recordAndSubmit(program: object, ...rest: unknown[]): void
}

export interface ProgramTime {
  program: string
  milliseconds: number
  dispatches: number
}

/** Runs `work` (which awaits its own result) and returns the time of each program on the GPU, longest first. Needs `timestamp-query`. */
export async function timePrograms(backend: WebGPUBackend, run: Runner, work: () => Promise<unknown>, most = 2048): Promise<ProgramTime[]> {
  const internals = backend as unknown as Internals
  const { device } = internals
  const querySet = device.createQuerySet({ type: 'timestamp', count: most * 2 })
  const names: string[] = []
  const before = (name: string): void => {
    internals.endComputePassEncoder()
    internals.ensureCommandEncoderReady()
    const at = 2 * names.push(name) - 2
    internals.computePassEncoder = internals.commandEncoder!.beginComputePass({
      timestampWrites: { querySet, beginningOfPassWriteIndex: at, endOfPassWriteIndex: at + 1 }
    })
  }
  const after = (): void => internals.endComputePassEncoder()
  const record = internals.recordAndSubmit.bind(backend)
  internals.recordAndSubmit = (program, ...rest) => {
    before(`tfjs ${program.constructor.name}`)
    record(program, ...rest)
    after()
  }
  run.observer = { before, after }
  await work()
  run.observer = undefined
  delete (internals as Partial<Internals>).recordAndSubmit
  const size = names.length * 16
  const resolved = device.createBuffer({ size, usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC })
  const readable = device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST })
  const encoder = device.createCommandEncoder()
  encoder.resolveQuerySet(querySet, 0, names.length * 2, resolved, 0)
  encoder.copyBufferToBuffer(resolved, 0, readable, 0, size)
  device.queue.submit([encoder.finish()])
  await readable.mapAsync(GPUMapMode.READ)
  const stamps = new BigUint64Array(readable.getMappedRange())
  const byProgram = new Map<string, ProgramTime>()
  names.forEach((program, at) => {
    const time = byProgram.get(program) ?? { program, milliseconds: 0, dispatches: 0 }
    time.milliseconds += Number(stamps[2 * at + 1]! - stamps[2 * at]!) / 1e6
    time.dispatches++
    byProgram.set(program, time)
  })
  for (const buffer of [resolved, readable]) buffer.destroy()
  querySet.destroy()
  return [...byProgram.values()].sort((a, b) => b.milliseconds - a.milliseconds)
}
