// A recorded step that runs again without the tape: the same dispatches on buffers of its own, packed so that those that never meet share memory.
import * as tf from '@tensorflow/tfjs'
import type { HostArray, StepArrays } from '../../hostArrays'
import { planMemory, type Need } from './memoryPlan'
import type { Recording, StepBuffer } from './recording'
import type { Runner } from './run'

/**
 * Dispatches to a submit. A step of a small model is one: a submit wakes the process that serves the device, which takes longer than writing a hundred
 * dispatches. Of a large one the device begins while the host still writes.
 */
const DISPATCHES = 256

/** Memory that replays share: they run one after another, and each writes before it reads. */
export class Arena {
  readonly #run: Runner
  readonly #buffers = new Map<GPUBuffer, Set<object>>()

  constructor(run: Runner) {
    this.#run = run
  }

  /** Where each of `needs` lies, for `user`, and the bytes that they would take alone: buffers that others made suit them less. */
  place(user: object, needs: readonly Need[]): { places: { buffer: GPUBuffer; offset: number }[]; bytes: number } {
    const { backend, device } = this.#run
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST
    const buffers = [...this.#buffers.keys()]
    const present = buffers.map(({ size }) => size)
    const { minStorageBufferOffsetAlignment: alignment, maxBufferSize } = device.limits
    const { places, sizes } = planMemory(needs, present, alignment, maxBufferSize)
    for (const size of sizes.slice(present.length)) buffers.push(backend.bufferManager.acquireBuffer(size, usage))
    const alone = present.length === 0 ? sizes : planMemory(needs, [], alignment, maxBufferSize).sizes
    const placed = places.map(({ buffer: at, offset }) => {
      const buffer = buffers[at]!
      const users = this.#buffers.get(buffer) ?? new Set()
      this.#buffers.set(buffer, users.add(user))
      return { buffer, offset }
    })
    return { places: placed, bytes: sum(alone) }
  }

  /** Frees what nobody else uses. */
  leave(user: object): void {
    for (const [buffer, users] of this.#buffers) {
      if (!users.delete(user) || users.size > 0) continue
      this.#buffers.delete(buffer)
      this.#run.backend.bufferManager.releaseBuffer(buffer, false)
    }
  }
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)

const arenas = new WeakMap<Runner, Arena>()

export class Replay {
  readonly #run: Runner
  readonly #arena: Arena
  readonly #commands: { pipeline: GPUComputePipeline; group: GPUBindGroup; groups: readonly [number, number, number] }[]
  readonly #inputs: { buffer: GPUBuffer; make: (arrays: StepArrays) => HostArray }[] = []
  /** Buffers that hold contents of the host and the result. */
  readonly #own: GPUBuffer[] = []
  readonly #result: GPUBuffer
  readonly #readable: GPUBuffer
  readonly #owned: readonly object[]
  /** Bytes that the step would work in if it shared none. */
  readonly bytes: number

  /** Makes the buffers, and holds on to the tensors that the step uses. Call `dispose` in the end. */
  constructor(run: Runner, { commands, buffers, owned, result }: Recording) {
    this.#run = run
    this.#arena = arenas.get(run) ?? new Arena(run)
    arenas.set(run, this.#arena)
    const { backend, device } = run
    const uses = buffers.map(() => ({ commands: [] as number[], writers: [] as number[] }))
    commands.forEach(({ bindings, outputs }, command) => {
      bindings.forEach(({ buffer }, at) => {
        if (typeof buffer !== 'number') return
        uses[buffer]!.commands.push(command)
        if (at < outputs) uses[buffer]!.writers.push(command)
      })
    })
    const isOwn = ({ content }: StepBuffer, at: number): boolean => content !== undefined || at === result
    const needs = buffers.flatMap((buffer, at) => (isOwn(buffer, at) ? [] : [{ at, size: buffer.size, ...uses[at]! }]))
    const made: { buffer: GPUBuffer; offset: number }[] = []
    const { places, bytes } = this.#arena.place(this, needs)
    places.forEach((place, index) => (made[needs[index]!.at] = place))
    buffers.forEach((buffer, at) => {
      if (!isOwn(buffer, at)) return
      const { size, usage, content } = buffer
      const own = backend.bufferManager.acquireBuffer(size, usage)
      if (content && 'fixed' in content) backend.queue.writeBuffer(own, 0, content.fixed)
      if (content && 'make' in content) this.#inputs.push({ buffer: own, make: content.make })
      made[at] = { buffer: own, offset: 0 }
      this.#own.push(own)
    })
    this.bytes = bytes + sum(this.#own.map(({ size }) => size))
    this.#commands = commands.map(({ pipeline, bindings, groups }) => ({
      pipeline,
      groups,
      group: device.createBindGroup({
        layout: pipeline.getBindGroupLayout(0),
        entries: bindings.map(({ buffer, offset, size }, binding) => {
          const place = typeof buffer === 'number' ? made[buffer]! : { buffer, offset: 0 }
          return { binding, resource: { buffer: place.buffer, offset: place.offset + offset, size } }
        })
      })
    }))
    this.#result = made[result]!.buffer
    this.#readable = device.createBuffer({ size: this.#result.size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST })
    this.#owned = owned
    owned.forEach((dataId) => backend.incRef(dataId))
  }

  /** Queues the step on the arrays of another batch, and reads its result once that is there. Not to be called again before. */
  async play(arrays: StepArrays): Promise<Float32Array> {
    this.#queue(arrays)
    await this.#readable.mapAsync(GPUMapMode.READ)
    const values = new Float32Array(this.#readable.getMappedRange().slice(0))
    this.#readable.unmap()
    return values
  }

  dispose(): void {
    const { backend } = this.#run
    this.#arena.leave(this)
    this.#own.forEach((buffer) => backend.bufferManager.releaseBuffer(buffer))
    this.#readable.destroy()
    const engine = tf.engine() as unknown as { removeDataId(dataId: object, backend: object): void }
    for (const dataId of this.#owned) if (backend.disposeData(dataId)) engine.removeDataId(dataId, backend)
  }

  #queue(arrays: StepArrays): void {
    const { backend, device } = this.#run
    const { queue } = backend
    // What the tape has queued comes first.
    this.#run.flush()
    for (const { buffer, make } of this.#inputs) queue.writeBuffer(buffer, 0, make(arrays) as HostArray & ArrayBufferView<ArrayBuffer>)
    // Values that the host had read are older than what is written now.
    for (const dataId of this.#owned) backend.tensorMap.get(dataId).values = null
    for (let begin = 0; begin < this.#commands.length; begin += DISPATCHES) {
      const encoder = device.createCommandEncoder()
      const pass = encoder.beginComputePass()
      const end = Math.min(this.#commands.length, begin + DISPATCHES)
      for (let at = begin; at < end; at++) {
        const { pipeline, group, groups } = this.#commands[at]!
        pass.setPipeline(pipeline)
        pass.setBindGroup(0, group)
        pass.dispatchWorkgroups(groups[0], groups[1], groups[2])
      }
      pass.end()
      if (end === this.#commands.length) encoder.copyBufferToBuffer(this.#result, 0, this.#readable, 0, this.#result.size)
      queue.submit([encoder.finish()])
    }
    this.#run.dispatches += this.#commands.length
  }
}
