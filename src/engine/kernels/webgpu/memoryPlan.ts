// Where the tensors of a recorded step lie in buffers that they share: two may have the same place if they never live at the same time.
import { Random } from '../../random'

/** A tensor of the step. */
export interface Need {
  /** Bytes. */
  size: number
  /** The commands that use it, in order: it lives from the first to the last. */
  commands: readonly number[]
  /** Those of them that write it. */
  writers: readonly number[]
}

/** Bytes from the beginning of a buffer, which is known by its number. */
export interface Place {
  buffer: number
  offset: number
}

/** A place for each need, and the bytes of all buffers, those that were present first. */
export interface MemoryPlan {
  places: Place[]
  sizes: number[]
}

interface Limits {
  /** Bytes of the buffers that are there already. */
  present: readonly number[]
  alignment: number
  largest: number
}

interface Buffer {
  size: number
  /** False where it was there before, at a size that stays. */
  grows: boolean
  /** What lies in it. */
  needs: number[]
}

interface Gap {
  offset: number
  /** Bytes that stay free behind it. */
  spare: number
  /** Bytes by which the buffer grows for it. */
  growth: number
}

/** In which order needs are placed, at first; which is best differs from step to step. */
const ORDERS: readonly ((a: Need, b: Need) => number)[] = [
  (a, b) => b.size - a.size || begin(a) - begin(b),
  (a, b) => b.size - a.size || span(b) - span(a),
  (a, b) => b.size - a.size || end(b) - end(a)
]

/** Orders that are tried: 0.1 to 0.2 s on one core, whatever the number of needs. */
const TRIES = { most: 256, pairs: 1e7 }

/**
 * Places the largest first, each into the tightest gap that is free while it lives (Pisarchyk and Lee 2020, greedy by size); where there is none, a buffer grows.
 * Tensors that one command writes and reads lie in different buffers, since WebGPU lets no command do both to one buffer, whatever the ranges. Then needs are
 * moved within the order as long as that helps: recorded steps of 98 to 154 commands came within 1 to 8 % of the bytes that live at once, without within 2 to 10 %.
 * @param present bytes of the buffers that are there already
 * @param alignment every offset is a multiple of it
 * @param largest bytes of a buffer, at most
 */
export function planMemory(needs: readonly Need[], present: readonly number[], alignment: number, largest = Infinity): MemoryPlan {
  const limits = { present, alignment, largest }
  const relations = relationsOf(needs)
  const planOf = (order: readonly number[]) => ({ order, plan: planInOrder(order, needs, relations, limits) })
  let best = ORDERS.map((compare) => planOf([...needs.keys()].sort((a, b) => compare(needs[a]!, needs[b]!)))).reduce((a, b) =>
    total(b.plan) < total(a.plan) ? b : a
  )
  const random = new Random(1)
  const tries = needs.length < 2 ? 0 : Math.min(TRIES.most, TRIES.pairs / needs.length ** 2)
  for (let tried = ORDERS.length; tried < tries; tried++) {
    const order = [...best.order]
    const [moved] = order.splice(random.next() % needs.length, 1)
    order.splice(random.next() % needs.length, 0, moved!)
    const other = planOf(order)
    if (total(other.plan) <= total(best.plan)) best = other
  }
  return best.plan
}

const begin = ({ commands }: Need): number => commands[0] ?? 0
const end = ({ commands }: Need): number => commands.at(-1) ?? 0
const span = (need: Need): number => end(need) - begin(need)
const total = ({ sizes }: MemoryPlan): number => sizes.reduce((sum, size) => sum + size, 0)

/** Of two needs: never alive at one time, alive at one time, or even written and read by one command. */
const [APART, MEETING, CLASHING] = [0, 1, 2]

/** The relation of each need to each. */
function relationsOf(needs: readonly Need[]): Uint8Array[] {
  const writers = needs.map((need) => new Set(need.writers))
  const users = needs.map(({ commands }) => new Set(commands))
  return needs.map((a, i) =>
    Uint8Array.from(needs, (b, j) => {
      if (begin(a) > end(b) || begin(b) > end(a)) return APART
      return a.commands.some((command) => users[j]!.has(command) && writers[i]!.has(command) !== writers[j]!.has(command))
        ? CLASHING
        : MEETING
    })
  )
}

function planInOrder(order: readonly number[], needs: readonly Need[], relations: readonly Uint8Array[], limits: Limits): MemoryPlan {
  const places: Place[] = []
  const buffers = limits.present.map((size): Buffer => ({ size, grows: false, needs: [] }))
  for (const at of order) {
    const { size } = needs[at]!
    let best: (Gap & { buffer: number }) | undefined
    buffers.forEach((buffer, number) => {
      const gap = tightestGap(at, buffer, needs, places, relations[at]!, limits)
      if (gap && (!best || isTighter(gap, best))) best = { buffer: number, ...gap }
    })
    if (!best || best.growth >= size) {
      best = { buffer: buffers.push({ size: 0, grows: true, needs: [] }) - 1, offset: 0, spare: 0, growth: size }
    }
    const { buffer: number, offset } = best
    const buffer = buffers[number]!
    buffer.needs.push(at)
    buffer.size = Math.max(buffer.size, offset + size)
    places[at] = { buffer: number, offset }
  }
  return { places, sizes: buffers.map(({ size }) => size) }
}

const isTighter = (a: Gap, b: Gap): boolean => a.growth < b.growth || (a.growth === b.growth && a.spare < b.spare)

/** The smallest part of a buffer that is free while need `at` lives and large enough, or would be if the buffer grew. */
function tightestGap(
  at: number,
  { size, grows, needs: placed }: Buffer,
  needs: readonly Need[],
  places: readonly Place[],
  relations: Uint8Array,
  { alignment, largest }: Limits
): Gap | undefined {
  const wanted = needs[at]!.size
  if (!grows && size < wanted) return undefined
  if (placed.some((other) => relations[other] === CLASHING)) return undefined
  const meeting = placed.filter((other) => relations[other] === MEETING).sort((a, b) => places[a]!.offset - places[b]!.offset)
  let best: Gap | undefined
  let offset = 0
  const consider = (until: number, growth: number): void => {
    const spare = until + growth - offset - wanted
    const gap = { offset, spare, growth }
    if (spare >= 0 && (!best || isTighter(gap, best))) best = gap
  }
  for (const other of meeting) {
    consider(places[other]!.offset, 0)
    offset = Math.max(offset, alignment * Math.ceil((places[other]!.offset + needs[other]!.size) / alignment))
  }
  const growth = Math.max(0, offset + wanted - size)
  consider(size, grows && size + growth <= largest ? growth : 0)
  return best
}
