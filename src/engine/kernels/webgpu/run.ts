// The one runner: records our WGSL in the TensorFlow.js backend's own command encoder and buffer pool, between its own operations.
import * as tf from '@tensorflow/tfjs'
import { webGpuHandle, type WebGpuHandle } from '../../device/webgpu'
import { encodeUniforms, wgsl, type Program } from './program'

export interface Dispatch {
  /** Tensors to write, in the program's order; one that was written before is updated in place. */
  outputs: readonly tf.TensorInfo[]
  inputs?: readonly tf.TensorInfo[]
  uniforms: readonly number[]
  /** How many workgroups run. */
  groups: readonly [number, number?, number?]
}

/** Some rows of a tensor, whose memory it shares. */
export interface TensorRows extends tf.TensorInfo {
  readonly begin: number
  readonly bytes: number
}

/** Rows `first` to `first + count` of a matrix of four-byte numbers, to be bound by themselves. Where they begin must be a multiple of 256 bytes. */
export function rowsOf(tensor: tf.TensorInfo, first: number, count: number): TensorRows {
  const { dataId, dtype, shape } = tensor
  const [, ...rest] = shape
  const rowBytes = rest.reduce((product, side) => product * side, 4)
  return { dataId, dtype, shape: [count, ...rest], begin: first * rowBytes, bytes: count * rowBytes }
}

/** What we use of the pinned WebGPUBackend beyond its typed interface; asserted when a runner is made. */
export interface BackendInternals {
  device: GPUDevice
  queue: GPUQueue
  bufferManager: {
    /** Unused buffers by size and usage. */
    freeBuffers: Map<string, GPUBuffer[]>
    numFreeBuffers: number
    numBytesAllocated: number
    acquireBuffer(size: number, usage: number, mapped?: boolean, reuse?: boolean): GPUBuffer
    releaseBuffer(buffer: GPUBuffer, reuse?: boolean): void
  }
  tensorMap: { get(dataId: object): { values: unknown; resource?: GPUBuffer; refCount: number } }
  commandQueueOwnedIds: WeakSet<object>
  commandEncoder: GPUCommandEncoder | null
  computePassEncoder: GPUComputePassEncoder | null
  dispatchCountInPass: number
  ensureCommandEncoderReady(): void
  endComputePassEncoder(): void
  submitQueue(): void
  uploadToGPU(dataId: object): void
  makeTensorInfo(shape: number[], dtype: tf.DataType): tf.TensorInfo
  disposeData(dataId: object): boolean
  incRef(dataId: object): void
  checkCompileCompletionAsync(): Promise<void>
}

const INTERNALS = [
  'bufferManager',
  'tensorMap',
  'commandQueueOwnedIds',
  'commandEncoder',
  'computePassEncoder',
  'dispatchCountInPass',
  'ensureCommandEncoderReady',
  'endComputePassEncoder',
  'submitQueue',
  'uploadToGPU',
  'makeTensorInfo',
  'disposeData',
  'incRef',
  'checkCompileCompletionAsync'
] as const satisfies (keyof BackendInternals)[]

/** Kept uniform buffers; shapes repeat, so a few hundred serve a whole run. Beyond that they start afresh. */
const KEPT_UNIFORMS = 2048

export class Runner {
  /** Programs dispatched since the start, TensorFlow.js's own not counted. */
  dispatches = 0
  /** A processor does the work of a GPU: other tiles are the fastest there. */
  readonly software: boolean
  /** Neighbours in a subgroup can hand each other values. */
  readonly subgroups: boolean
  /** Shaders can compute with float16. */
  readonly float16: boolean
  readonly adapter: string
  readonly device: GPUDevice
  /** Rises when a better program is there than the one that runs: what was recorded before runs the lesser one. */
  revision = 0
  /** Called before and after each dispatch by a profiler. */
  observer?: { before(key: string): void; after(): void }
  readonly backend: BackendInternals
  readonly #pipelines = new Map<string, GPUComputePipeline>()
  readonly #outputs = new WeakMap<GPUComputePipeline, number>()
  readonly #asked = new Set<string>()
  #compiling: Promise<void> = Promise.resolve()
  /** While a step is prepared: the programs that are being compiled for it. */
  #prepared: Map<string, Promise<void>> | undefined
  readonly #uniforms = new Map<string, GPUBuffer>()

  constructor({ backend, device, report }: WebGpuHandle) {
    this.backend = backend as unknown as BackendInternals
    for (const member of INTERNALS) {
      if (!(member in this.backend)) throw new Error(`This version of the WebGPU backend has no ${member}; use the pinned version.`)
    }
    this.device = device
    this.software = report.software
    this.subgroups = device.features.has('subgroups')
    this.float16 = device.features.has('shader-f16')
    this.adapter = report.adapter
  }

  /** A tensor without contents, whose memory is taken at its first dispatch. No scope tracks it: return it from a kernel, or `free` it. */
  allocate(shape: readonly number[]): tf.TensorInfo {
    return this.backend.makeTensorInfo([...shape], 'float32')
  }

  /** Gives an untracked tensor back to the pool. */
  free(...tensors: tf.TensorInfo[]): void {
    for (const tensor of tensors) this.backend.disposeData(tensor.dataId)
  }

  /**
   * Copies a host array to an untracked tensor. Written through the queue and so without ending the compute pass: a pooled buffer is never in use by
   * commands that are not submitted yet.
   */
  upload(values: Int32Array | Float32Array): tf.TensorInfo {
    const tensor = this.backend.makeTensorInfo([values.length], values instanceof Int32Array ? 'int32' : 'float32')
    // What a preparation uploads may go back to the pool with its copy still queued, which would come behind what is written here.
    if (this.#prepared) this.flush()
    const buffer = this.#buffer(tensor)
    this.backend.queue.writeBuffer(buffer, 0, values as typeof values & ArrayBufferView<ArrayBuffer>)
    return tensor
  }

  /** Whether no other tensor has the data of this one, so that whoever owns it may overwrite it. */
  isSole({ dataId }: tf.TensorInfo): boolean {
    return this.backend.tensorMap.get(dataId).refCount === 1
  }

  /** Records one dispatch. */
  run(program: Program, { outputs, inputs = [], uniforms, groups }: Dispatch): void {
    if (this.#prepared) {
      this.#prepare(program, this.#prepared)
      return
    }
    const { backend } = this
    const pipeline = this.#pipeline(program)
    const resources = [...outputs, ...inputs].map((tensor) => this.#binding(tensor))
    resources.push({ buffer: this.#uniform(program, uniforms) })
    const bindGroup = this.device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: resources.map((resource, binding) => ({ binding, resource }))
    })
    // A value that the host had read is older than what is written now.
    for (const output of outputs) backend.tensorMap.get(output.dataId).values = null
    this.observer?.before(program.key)
    backend.ensureCommandEncoderReady()
    backend.computePassEncoder ??= (backend.commandEncoder as GPUCommandEncoder).beginComputePass()
    backend.computePassEncoder.setPipeline(pipeline)
    backend.computePassEncoder.setBindGroup(0, bindGroup)
    backend.computePassEncoder.dispatchWorkgroups(...(groups as [number, number, number]))
    this.observer?.after()
    this.dispatches++
    if (++backend.dispatchCountInPass >= tf.env().getNumber('WEBGPU_DEFERRED_SUBMIT_BATCH_SIZE')) {
      backend.endComputePassEncoder()
      backend.submitQueue()
    }
  }

  /**
   * Compiles what `work` would run, side by side, and runs nothing of it: one after another, as a step asks for them, programs keep one core busy and the
   * device waiting. The tensors that `work` makes have no contents.
   */
  async prepare(work: () => void): Promise<void> {
    const prepared = new Map<string, Promise<void>>()
    this.#prepared = prepared
    const cpuForward = tf.env().getBool('WEBGPU_CPU_FORWARD')
    tf.env().set('WEBGPU_ENGINE_COMPILE_ONLY', true)
    // Small tensors without contents would be taken for those that only the host has.
    tf.env().set('WEBGPU_CPU_FORWARD', false)
    try {
      work()
    } finally {
      this.flush()
      tf.env().set('WEBGPU_ENGINE_COMPILE_ONLY', false)
      tf.env().set('WEBGPU_CPU_FORWARD', cpuForward)
      this.#prepared = undefined
    }
    await Promise.all([...prepared.values(), this.backend.checkCompileCompletionAsync()])
  }

  /** Submits what is recorded. */
  flush(): void {
    this.backend.endComputePassEncoder()
    if (this.backend.commandEncoder) this.backend.submitQueue()
  }

  /** Gives the memory of unused buffers back to the system. */
  trim(): void {
    const { bufferManager: manager } = this.backend
    for (const buffers of manager.freeBuffers.values()) {
      for (const buffer of buffers.splice(0)) {
        buffer.destroy()
        manager.numBytesAllocated -= buffer.size
        manager.numFreeBuffers--
      }
    }
  }

  /** Workgroups that give each of `threads` one thread; beyond WebGPU's 65535 a dimension they continue in y (see `flatIndex`). */
  grid(threads: number, workgroup = WORKGROUP): [number, number] {
    const needed = Math.ceil(threads / workgroup)
    const widest = this.device.limits.maxComputeWorkgroupsPerDimension
    return needed <= widest ? [needed, 1] : [widest, Math.ceil(needed / widest)]
  }

  #binding(tensor: tf.TensorInfo | TensorRows): GPUBufferBinding {
    const buffer = this.#buffer(tensor)
    return 'begin' in tensor ? { buffer, offset: tensor.begin, size: tensor.bytes } : { buffer }
  }

  #buffer(tensor: tf.TensorInfo): GPUBuffer {
    this.backend.uploadToGPU(tensor.dataId)
    this.backend.commandQueueOwnedIds.add(tensor.dataId)
    return this.backend.tensorMap.get(tensor.dataId).resource as GPUBuffer
  }

  /** Resolves when the programs that were asked for are compiled. */
  get settled(): Promise<void> {
    return this.#compiling
  }

  /** Programs that are compiled. */
  get compiledPrograms(): number {
    return this.#pipelines.size
  }

  /** Uniform buffers that are kept for dispatches like earlier ones. */
  get keptUniforms(): number {
    return this.#uniforms.size
  }

  /**
   * Whether a program can run at once. Where not, it is compiled behind the others that were asked for, one at a time and without holding up anything; it
   * stays false should that fail.
   */
  isCompiled(program: Program): boolean {
    if (this.#pipelines.has(program.key)) return true
    // The lesser program is all that a step needs to begin.
    if (!this.#prepared && !this.#asked.has(program.key)) {
      this.#asked.add(program.key)
      this.#compiling = this.#compiling.then(async () => {
        try {
          // On a processor it would take the time of the steps that wait for the device.
          await this.device.queue.onSubmittedWorkDone()
          this.#keep(program, await this.device.createComputePipelineAsync(this.#descriptor(program)))
          this.revision++
        } catch {
          // The smaller program goes on serving; a lost device is told elsewhere.
        }
      })
    }
    return false
  }

  /** Compiles a program for a trial, without making anything that was recorded the lesser for it. False where this device cannot. */
  async compile(program: Program): Promise<boolean> {
    if (this.#pipelines.has(program.key)) return true
    try {
      this.#keep(program, await this.device.createComputePipelineAsync(this.#descriptor(program)))
      return true
    } catch {
      return false
    }
  }

  #descriptor(program: Program): GPUComputePipelineDescriptor {
    const module = this.device.createShaderModule({ code: wgsl(program), label: program.key })
    return { layout: 'auto', compute: { module, entryPoint: 'main' }, label: program.key }
  }

  #prepare(program: Program, prepared: Map<string, Promise<void>>): void {
    if (this.#pipelines.has(program.key) || prepared.has(program.key)) return
    const compiled = this.device.createComputePipelineAsync(this.#descriptor(program))
    prepared.set(
      program.key,
      compiled.then(
        (pipeline) => this.#keep(program, pipeline),
        // Whoever runs it is told why it does not compile.
        () => undefined
      )
    )
  }

  /** How many of a pipeline's bindings, from the first on, are written: of TensorFlow.js's own always one. */
  outputsOf(pipeline: GPUComputePipeline): number {
    return this.#outputs.get(pipeline) ?? 1
  }

  #keep(program: Program, pipeline: GPUComputePipeline): void {
    this.#pipelines.set(program.key, pipeline)
    this.#outputs.set(pipeline, Object.keys(program.outputs).length)
  }

  #pipeline(program: Program): GPUComputePipeline {
    let pipeline = this.#pipelines.get(program.key)
    if (!pipeline) {
      pipeline = this.device.createComputePipeline(this.#descriptor(program))
      this.#keep(program, pipeline)
    }
    return pipeline
  }

  #uniform(program: Program, values: readonly number[]): GPUBuffer {
    const usage = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST
    const key = `${Object.values(program.uniforms).join()} ${values.join()}`
    let buffer = this.#uniforms.get(key)
    if (!buffer) {
      if (this.#uniforms.size >= KEPT_UNIFORMS) this.#uniforms.clear()
      const bytes = encodeUniforms(program, values)
      buffer = this.device.createBuffer({ size: bytes.byteLength, usage })
      this.backend.queue.writeBuffer(buffer, 0, bytes)
      this.#uniforms.set(key, buffer)
    }
    return buffer
  }
}

/** Threads of a workgroup where nothing is shared: a multiple of every GPU's subgroup. */
export const WORKGROUP = 64

/** WGSL for the thread's number over a one- or two-dimensional `grid`. */
export const flatIndex = `let index = thread.x + thread.y * groups.x * ${WORKGROUP}u;`

const runners = new WeakMap<object, Runner>()

/** The runner of the current device; a new device has a new one. Throws where WebGPU is not the current backend. */
export function runner(): Runner {
  const handle = webGpuHandle()
  if (!handle) throw new Error('No WebGPU device was started.')
  let found = runners.get(handle.backend)
  if (!found) {
    found = new Runner(handle)
    runners.set(handle.backend, found)
  }
  return found
}

let wanted = true

/** Switches the fused kernels off and on again: so the composed forms can be timed and checked on the same device. */
export function useFusedKernels(use: boolean): void {
  wanted = use
}

/** True where fused kernels run: they are wanted, and can run. */
export function isWebGpu(): boolean {
  return wanted && canFuse()
}

/** True where WGSL of ours can run: WebGPU is the current backend, on our own device. */
export function canFuse(): boolean {
  return tf.getBackend() === 'webgpu' && tf.backend() === webGpuHandle()?.backend
}
