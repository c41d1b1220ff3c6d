// Gradients of a loss on TensorFlow.js's tape, walked so that every tensor is freed as soon as nothing behind it needs it.
import * as tf from '@tensorflow/tfjs'
import { Recomputed } from './recomputed'
import { isWebGpu } from './webgpu/run'

interface TapeNode {
  kernelName: string
  inputs: tf.NamedTensorMap
  outputs: tf.Tensor[]
  saved?: tf.Tensor[]
  gradient?: (dys: (tf.Tensor | null)[]) => Record<string, () => tf.Tensor>
}

/** What we use of the pinned engine beyond its typed interface. `tf.valueAndGrads` does the same and frees nothing before its end. */
interface TapeEngine {
  state: { activeTape: TapeNode[] | null; gradientDepth: number }
  startTape(): void
  endTape(): void
}

/** What one walk is about: the tensors that depend on what is differentiated, as far as the tape was read, and whether blocks are computed twice. */
interface Walk {
  dependent: Set<number>
  read: number
  checkpointing: boolean
  recomputed: Recomputed
}

export interface GradientOptions {
  /** Of each `modelBlock` only what enters it is kept; it is computed again on the way back. */
  checkpointing?: boolean
}

let current: Walk | undefined

/** The gradient of the loss itself, while its gradients are taken: one. */
let unit: tf.Tensor | undefined

const tapeEngine = (): TapeEngine => tf.engine() as unknown as TapeEngine

/**
 * Whether a tensor depends on what is differentiated now: an operation need keep nothing for the gradient of one that does not. True for every tensor
 * where `valueAndGradients` does not run.
 */
export function isDifferentiated(tensor: tf.Tensor): boolean {
  if (!current) return true
  readTape(current)
  return current.dependent.has(tensor.id)
}

/** Whether a gradient for this tensor will be asked for: it is differentiated, on a tape that runs. */
export function wantsGradient(tensor: tf.Tensor): boolean {
  return tapeEngine().state.gradientDepth > 0 && isDifferentiated(tensor)
}

/** Whether `dy` is known to be one, as that of the loss itself is. */
export function isUnit(dy: tf.Tensor): boolean {
  return dy.dataId === unit?.dataId
}

function readTape(walk: Walk): void {
  const tape = tapeEngine().state.activeTape ?? []
  for (; walk.read < tape.length; walk.read++) {
    const { inputs, outputs } = tape[walk.read] as TapeNode
    if (Object.values(inputs).some((input) => walk.dependent.has(input.id))) outputs.forEach((output) => walk.dependent.add(output.id))
  }
}

/**
 * The value of `loss`, a scalar, and its gradient for each of `xs`, all owned by the caller. What an operation keeps for its gradient is freed when that
 * is taken, and a gradient when it was passed on, where `tf.valueAndGrads` frees everything at the end. Not to be nested.
 * @throws Error where the loss does not depend on one of `xs`
 */
export function valueAndGradients(
  loss: () => tf.Scalar,
  xs: readonly tf.Tensor[],
  { checkpointing = false }: GradientOptions = {}
): { value: tf.Scalar; gradients: tf.Tensor[] } {
  if (tapeEngine().state.gradientDepth > 0) throw new Error('Gradients of gradients are not taken.')
  const walk: Walk = { dependent: new Set(xs.map(({ id }) => id)), read: 0, checkpointing, recomputed: new Recomputed() }
  const { value, tape } = recorded(loss, walk)
  unit = tf.ones([])
  const gradients = new Map<number, tf.Tensor>([[value.id, unit]])
  try {
    walkBack(usedBy(value, tape, walk.dependent), walk, gradients)
  } finally {
    unit = undefined
  }
  walk.recomputed.dispose()
  const found = xs.map((x) => gradients.get(x.id))
  const missing = found.indexOf(undefined)
  if (missing >= 0) {
    tf.dispose([value, ...found.filter((gradient) => gradient !== undefined)])
    throw new Error(`The loss does not depend on trained tensor ${missing}.`)
  }
  return { value, gradients: found as tf.Tensor[] }
}

/**
 * One block of a model, whose own tensors are freed at its end unless a gradient needs them. With gradient checkpointing (Chen et al. 2016) it keeps `x` alone
 * and runs a second time for its gradients, with the same numbers. Beside `x` it may read only tensors that outlive the walk: weights, trained tensors, tables.
 */
export function modelBlock(block: (x: tf.Tensor2D) => tf.Tensor2D, x: tf.Tensor2D): tf.Tensor2D {
  const walk = current
  const tape = tapeEngine().state.activeTape
  if (!walk || !tape) return tf.tidy(() => block(x))
  const begin = tape.length
  if (!walk.checkpointing) {
    const y = tf.tidy(() => block(x))
    walk.recomputed.drop(tape.slice(begin))
    return y
  }
  readTape(walk)
  const y = tf.tidy(() => block(x))
  readTape(walk)
  const used = usedBy(y, tape.splice(begin), walk.dependent)
  used.forEach(freeSaved)
  const inside = new Set(used.flatMap(({ outputs }) => outputs.map(({ id }) => id)))
  const entering = used.flatMap(({ inputs }) => Object.values(inputs)).filter(({ id }) => walk.dependent.has(id) && !inside.has(id))
  walk.read = begin
  if (entering.length === 0) return y
  const kept = tf.keep(tf.clone(x))
  // The clone stands for x when the block runs again.
  const standIn = (tensor: tf.Tensor): tf.Tensor => (tensor.id === x.id ? kept : tensor)
  const node: TapeNode = {
    kernelName: 'ModelBlock',
    inputs: Object.fromEntries(entering.map((tensor) => [tensor.id, tensor])),
    outputs: [y],
    saved: [kept],
    gradient: ([dy]) => {
      const dependent = new Set(entering.map((tensor) => standIn(tensor).id))
      const again: Walk = { dependent, read: 0, checkpointing: false, recomputed: new Recomputed() }
      const { value, tape: nodes } = recorded(() => block(kept), again)
      const gradients = new Map<number, tf.Tensor>([[value.id, (dy as tf.Tensor).clone()]])
      walkBack(usedBy(value, nodes, again.dependent), again, gradients)
      value.dispose()
      return Object.fromEntries(entering.map((tensor) => [tensor.id, () => gradients.get(standIn(tensor).id) as tf.Tensor]))
    }
  }
  tape.push(node)
  return y
}

/**
 * `make(...inputs)`, which takes little time: within a `modelBlock` the gradients of what reads it compute it again where they would have to keep it. `make` may
 * read only what outlives the walk beside its inputs.
 */
export function cheap<Inputs extends tf.Tensor[]>(make: (...inputs: Inputs) => tf.Tensor2D, ...inputs: Inputs): tf.Tensor2D {
  return madeAgain((...again: Inputs) => [make(...again)], ...inputs)[0]!
}

/** The same for several results, and for whatever is worth its time. */
export function madeAgain<Inputs extends tf.Tensor[]>(make: (...inputs: Inputs) => tf.Tensor2D[], ...inputs: Inputs): tf.Tensor2D[] {
  const results = make(...inputs)
  // The composed forms keep so much that this would spare little, for more time.
  if (isWebGpu()) current?.recomputed.note(results, inputs, make as (...again: tf.Tensor[]) => tf.Tensor2D[])
  return results
}

/** Runs `work` with the tape on, and reads all of it. */
function recorded<Value extends tf.Tensor>(work: () => Value, walk: Walk): { value: Value; tape: TapeNode[] } {
  const engine = tapeEngine()
  current = walk
  engine.startTape()
  try {
    const value = tf.tidy(work)
    readTape(walk)
    return { value, tape: engine.state.activeTape ?? [] }
  } catch (error) {
    engine.state.activeTape?.forEach(freeSaved)
    walk.recomputed.dispose()
    throw error
  } finally {
    engine.endTape()
    engine.state.activeTape = null
    current = undefined
  }
}

/** The nodes through which `value` depends on what is differentiated, last first; what the others keep is freed. */
function usedBy(value: tf.Tensor, tape: readonly TapeNode[], dependent: ReadonlySet<number>): TapeNode[] {
  const wanted = new Set([value.id])
  const used: TapeNode[] = []
  for (const node of [...tape].reverse()) {
    const leads = node.outputs.some(({ id }) => wanted.has(id)) && Object.values(node.inputs).some(({ id }) => dependent.has(id))
    if (leads) {
      used.push(node)
      Object.values(node.inputs).forEach(({ id }) => wanted.add(id))
    } else freeSaved(node)
  }
  return used
}

let soFar: tf.Tensor | undefined

/**
 * For the gradient of one input: what later uses of that input have given it already. Whoever takes it adds it to its own result, in the same dispatch, and
 * must not change or free it; undefined where there is nothing.
 */
export function takeGradientSoFar(): tf.Tensor | undefined {
  const taken = soFar
  soFar = undefined
  return taken
}

/** What one use of a tensor adds to its gradient, and whether it took in what the later uses gave. */
function shareOf(thunk: () => tf.Tensor, before: tf.Tensor | undefined): { own: tf.Tensor; taken: boolean } {
  soFar = before
  try {
    const own = tf.tidy(thunk)
    return { own, taken: before !== undefined && soFar === undefined }
  } finally {
    soFar = undefined
  }
}

/** Takes the gradient of each node in turn and adds it to its inputs'; `gradients`, by tensor id, ends with those of the tensors that no node made. */
function walkBack(nodes: readonly TapeNode[], { dependent, recomputed }: Walk, gradients: Map<number, tf.Tensor>): void {
  for (const node of nodes) {
    recomputed.restore(node)
    const dys = node.outputs.map(({ id }) => gradients.get(id) ?? null)
    // A scope for the whole node: gradients that one dispatch computes together are made before the first is asked for.
    const fresh = tf.tidy(() => {
      if (!node.gradient) throw new Error(`${node.kernelName} has no gradient.`)
      const thunks = node.gradient(dys)
      const found = new Map<number, tf.Tensor>()
      const complete = new Set<number>()
      for (const [name, input] of Object.entries(node.inputs)) {
        if (!dependent.has(input.id)) continue
        const thunk = thunks[name]
        if (!thunk) throw new Error(`${node.kernelName} has no gradient for ${name}.`)
        const other = found.get(input.id)
        const { own, taken } = shareOf(thunk, other ? undefined : gradients.get(input.id))
        if (taken) complete.add(input.id)
        // A tensor that is handed on as it is would be freed with its owner.
        const shared = dys.includes(own) || [...found.values()].includes(own)
        found.set(input.id, other ? tf.add(other, own) : shared ? own.clone() : own)
      }
      for (const [id, own] of found) {
        const before = complete.has(id) ? undefined : gradients.get(id)
        if (before) found.set(id, tf.add(before, own))
      }
      return Object.fromEntries(found)
    })
    for (const [key, gradient] of Object.entries(fresh)) {
      const id = Number(key)
      gradients.get(id)?.dispose()
      gradients.set(id, gradient)
    }
    for (const { id } of node.outputs) {
      gradients.get(id)?.dispose()
      gradients.delete(id)
    }
    freeSaved(node)
  }
}

function freeSaved({ saved }: TapeNode): void {
  saved?.forEach((tensor) => tensor.dispose())
}
