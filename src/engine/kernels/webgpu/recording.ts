// Records what a step asks of the device, ours and TensorFlow.js's alike: dispatches, the buffers they read and write, and what the host put into them.
import { makerOf, type HostArray, type StepArrays } from '../../hostArrays'
import type { Runner } from './run'

/** A buffer that lived within the step, as far as its commands can tell: the same one of the pool may have served as several. */
export interface StepBuffer {
  size: number
  usage: GPUBufferUsageFlags
  /** What the host put into it: the same in each step, or made anew from the step's arrays. */
  content?: { fixed: Uint8Array<ArrayBuffer> } | { make: (arrays: StepArrays) => HostArray }
}

export interface Binding {
  /** A buffer of the step by its place in `Recording.buffers`, or one that was there before. */
  buffer: number | GPUBuffer
  offset: number
  size: number
}

export interface Command {
  pipeline: GPUComputePipeline
  bindings: Binding[]
  /** How many of the bindings, from the first on, are written. */
  outputs: number
  groups: readonly [number, number, number]
}

export interface Recording {
  commands: Command[]
  /** In the order of their first use. */
  buffers: StepBuffer[]
  /** Tensors that were there before the step and are used in it. */
  owned: object[]
  /** Which of `buffers` holds the step's result. */
  result: number
}

/** Replaces a method of an object for the time of a recording; returns what puts it back. */
function replaced<Target extends object, Name extends keyof Target>(
  target: Target,
  name: Name,
  replacement: (original: Target[Name]) => Target[Name]
): () => void {
  const own = Object.getOwnPropertyDescriptor(target, name)
  const original = target[name]
  const bound = typeof original === 'function' ? (original.bind(target) as Target[Name]) : original
  Object.defineProperty(target, name, { value: replacement(bound), configurable: true, writable: true })
  return () => {
    if (own) Object.defineProperty(target, name, own)
    else delete target[name]
  }
}

interface OpenBuffer extends StepBuffer {
  source?: HostArray | Uint8Array<ArrayBuffer>
}

/**
 * Runs `work`, which queues a step without waiting and returns the data id of its result, and records it. The recording is undefined where the step does
 * what cannot be replayed: copies between buffers, tensors that outlive it, values of the host whose origin is not known.
 * @param arrays of the step, of which those that `work` uploads are made or are some
 */
export function record<Result extends { dataId: object }>(
  run: Runner,
  arrays: StepArrays,
  work: () => Result
): { result: Result; recording: Recording | undefined } {
  const { device, backend } = run
  const { queue, bufferManager: manager, tensorMap } = backend
  const open = new Map<GPUBuffer, OpenBuffer>()
  const made = new WeakSet<GPUBuffer>()
  const owners = new Map<GPUBuffer, object>()
  const bindings = new Map<GPUBindGroup, { buffer: OpenBuffer | GPUBuffer; offset: number; size: number }[]>()
  const commands: { pipeline: GPUComputePipeline; group: GPUBindGroup; groups: Command['groups'] }[] = []
  const copiedTo: (OpenBuffer | undefined)[] = []
  let replayable = true
  const refuse = (): void => {
    replayable = false
  }
  const put = (buffer: GPUBuffer, source: NonNullable<OpenBuffer['source']>): void => {
    const found = open.get(buffer)
    // Uniforms that the runner keeps are written once, when they are made.
    if (found ? found.source !== undefined : !made.has(buffer)) refuse()
    if (found) found.source = source
  }
  run.flush()
  const restore = [
    replaced(manager, 'acquireBuffer', (acquire) => (size, usage, ...rest) => {
      const buffer = acquire(size, usage, ...rest)
      open.set(buffer, { size, usage })
      return buffer
    }),
    replaced(manager, 'releaseBuffer', (release) => (buffer, ...rest) => {
      open.delete(buffer)
      release(buffer, ...rest)
    }),
    replaced(device, 'createBuffer', (create) => (descriptor) => {
      const buffer = create(descriptor)
      made.add(buffer)
      return buffer
    }),
    replaced(
      queue,
      'writeBuffer',
      (write) =>
        ((buffer: GPUBuffer, offset: number, data: HostArray | ArrayBuffer, ...rest: number[]) => {
          if (offset !== 0) refuse()
          if (data instanceof ArrayBuffer) put(buffer, new Uint8Array(data.slice(rest[0] ?? 0, rest[1] && (rest[0] ?? 0) + rest[1])))
          else put(buffer, data)
          write(buffer, offset, data as ArrayBuffer, ...rest)
        }) as GPUQueue['writeBuffer']
    ),
    replaced(backend, 'uploadToGPU', (upload) => (dataId) => {
      const tensor = tensorMap.get(dataId)
      const values = tensor.resource ? undefined : tensor.values
      upload(dataId)
      owners.set(tensor.resource as GPUBuffer, dataId)
      if (values instanceof Float32Array || values instanceof Int32Array) put(tensor.resource as GPUBuffer, values)
      else if (values) refuse()
    }),
    replaced(device, 'createBindGroup', (create) => (descriptor) => {
      const group = create(descriptor)
      const entries = [...descriptor.entries].sort((a, b) => a.binding - b.binding)
      bindings.set(
        group,
        entries.map(({ resource }) => {
          const { buffer, offset = 0, size } = resource as GPUBufferBinding
          return { buffer: open.get(buffer) ?? buffer, offset, size: size ?? buffer.size - offset }
        })
      )
      return group
    }),
    replaced(device, 'createCommandEncoder', (create) => (descriptor) => {
      const encoder = create(descriptor)
      replaced(
        encoder,
        'copyBufferToBuffer',
        (copy) =>
          ((...parameters: [GPUBuffer, number, GPUBuffer, number, number]) => {
            copiedTo.push(open.get(parameters[2]))
            copy(...parameters)
          }) as GPUCommandEncoder['copyBufferToBuffer']
      )
      replaced(encoder, 'clearBuffer', () => refuse as GPUCommandEncoder['clearBuffer'])
      replaced(encoder, 'beginComputePass', (begin) => (passDescriptor) => {
        const pass = begin(passDescriptor)
        let pipeline: GPUComputePipeline
        let group: GPUBindGroup
        replaced(pass, 'setPipeline', (set) => (given) => {
          pipeline = given
          set(given)
        })
        replaced(
          pass,
          'setBindGroup',
          (set) =>
            ((at: number, given: GPUBindGroup, ...offsets: never[]) => {
              if (at !== 0 || offsets.length > 0) refuse()
              group = given
              set(at, given, ...offsets)
            }) as GPUComputePassEncoder['setBindGroup']
        )
        replaced(pass, 'dispatchWorkgroups', (dispatch) => (x, y = 1, z = 1) => {
          commands.push({ pipeline, group, groups: [x, y, z] })
          dispatch(x, y, z)
        })
        return pass
      })
      return encoder
    })
  ]
  let result: Result
  try {
    result = work()
    run.flush()
  } finally {
    restore.reverse().forEach((back) => back())
  }
  // What is uploaded through a staging buffer is known as content; any other copy is not.
  if (copiedTo.some((buffer) => buffer?.source === undefined)) refuse()
  const resultBuffer = open.get(tensorMap.get(result.dataId).resource as GPUBuffer)
  if (!resultBuffer || open.size > 1) refuse()
  return { result, recording: replayable ? numbered() : undefined }

  /** Buffers by the order of their first use, so that two recordings of one step are equal. */
  function numbered(): Recording | undefined {
    const numbers = new Map<OpenBuffer, number>()
    const buffers: StepBuffer[] = []
    const owned = new Set<object>()
    const all = commands.map(({ pipeline, group, groups }): Command => {
      const entries = (bindings.get(group) ?? []).map(({ buffer, ...range }): Binding => {
        if (buffer instanceof GPUBuffer) {
          const owner = owners.get(buffer)
          if (owner) owned.add(owner)
          return { buffer, ...range }
        }
        if (!numbers.has(buffer)) {
          const content = buffer.source && contentOf(buffer.source, arrays)
          if (buffer.source && !content) refuse()
          numbers.set(buffer, buffers.push({ size: buffer.size, usage: buffer.usage, content }) - 1)
        }
        return { buffer: numbers.get(buffer) as number, ...range }
      })
      return { pipeline, bindings: entries, outputs: run.outputsOf(pipeline), groups }
    })
    const at = numbers.get(resultBuffer as OpenBuffer)
    return replayable && at !== undefined ? { commands: all, buffers, owned: [...owned], result: at } : undefined
  }
}

/** Ids and lengths without an origin may be the batch's: refused. Numbers may be constants of the model: two recordings tell. */
function contentOf(source: NonNullable<OpenBuffer['source']>, arrays: StepArrays): StepBuffer['content'] {
  if (source instanceof Uint8Array) return { fixed: source }
  const make = makerOf(source, arrays)
  if (make) return { make }
  if (source instanceof Int32Array) return undefined
  return { fixed: new Uint8Array(source.slice().buffer) }
}

/** Whether two recordings are of the same step: then all that differs between their inputs is made from the steps' arrays. */
export function isSameStep(a: Recording, b: Recording): boolean {
  return (
    a.result === b.result &&
    a.commands.length === b.commands.length &&
    a.buffers.length === b.buffers.length &&
    a.buffers.every((buffer, at) => isSameBuffer(buffer, b.buffers[at] as StepBuffer)) &&
    a.commands.every((command, at) => isSameCommand(command, b.commands[at] as Command))
  )
}

function isSameBuffer(a: StepBuffer, b: StepBuffer): boolean {
  if (a.size !== b.size || a.usage !== b.usage) return false
  if (!a.content || !b.content) return a.content === b.content
  if ('make' in a.content) return 'make' in b.content
  if ('make' in b.content) return false
  const other = b.content.fixed
  return a.content.fixed.length === other.length && a.content.fixed.every((byte, at) => byte === other[at])
}

function isSameCommand(a: Command, b: Command): boolean {
  return (
    a.pipeline === b.pipeline &&
    a.groups.every((count, at) => count === b.groups[at]) &&
    a.bindings.length === b.bindings.length &&
    a.bindings.every(({ buffer, offset, size }, at) => {
      const other = b.bindings[at] as Binding
      return buffer === other.buffer && offset === other.offset && size === other.size
    })
  )
}
