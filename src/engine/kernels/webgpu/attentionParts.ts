// What attention's programs are made of: uniforms, places in memory, and how threads hold rows of one head, alone or four together.
import { unroll } from './program'

/** The normaliser of a query that is padding: it makes every weight zero, and marks where the real queries of a row end. */
export const PADDING = '1e30'

export const UNIFORMS = {
  queryTime: 'i32',
  queryOffset: 'i32',
  keyTime: 'i32',
  prefix: 'i32',
  front: 'i32',
  heads: 'i32',
  keyValueHeads: 'i32',
  window: 'i32',
  scale: 'f32'
} as const

/** A row of one head, in a buffer of `time` rows a batch entry with `heads` heads each. The shared first rows stand once. */
const place = (time: string, row: string, heads: string, head: string): string =>
  `((select(batch, 0, ${row} < u.front) * (${time} - u.front) + ${row}) * ${heads} + ${head})`

export const queryPlace = (row: string): string => place('u.queryTime', row, 'u.heads', 'head')
export const keyPlace = (row: string): string => place('u.keyTime', row, 'u.keyValueHeads', 'keyHead')
export const prefixPlace = (row: string): string => `(${row} * u.keyValueHeads + keyHead)`
export const statisticsPlace = (row: string): string => `(batch * u.heads + head) * u.queryTime + ${row}`

export type TeamKind = 'alone' | 'quad'

/**
 * Threads that own neighbouring rows of one head, one each, and visit other rows together. A program's text is the same for all kinds: numbers of a row are in
 * `count` registers, each of which holds `Lane`.
 */
export interface Team {
  /** Threads, and rows. */
  size: number
  declarations: string
  /** Declares `team`, its number, and `lane`, the thread's place in it. */
  begin: string
  /** Declares where the team's rows, from `first` to `last`, stand in a buffer. */
  own(name: string, place: (row: string) => string): string
  /** Declares registers `name`: the rows that stand at `own`, times `factor`. */
  load(name: string, buffer: string, own: string, factor?: string): string
  /** Declares registers for sums. */
  sums(...names: string[]): string
  /** Register `n` of `name`. */
  register(name: string, n: number | string): string
  /** Stores registers into the rows that stand at `own`. */
  store(buffer: string, own: string, value: (n: number | string) => string): string
  /** Declares `<name>0` and so on: what the thread has of the row at `place`, which the whole team visits. */
  visit(name: string, buffer: string, place: string): string
  /** The product of the thread's own row, in registers `name`, with the one that is visited as `visited`. */
  product(name: string, visited: string): string
  /** `value`, or `hidden` where query and key are so far apart that they do not see each other: some of a team may, and others not. */
  seen(value: string, hidden: string, distance: string): string
  /** What each thread knows of its own row, as a factor of registers. */
  spread(value: string): string
}

const times = (value: string, factor?: string): string => (factor ? `${value} * ${factor}` : value)

const sumOver = (count: number, term: (n: number) => string): string => Array.from({ length: count }, (_, n) => term(n)).join(' + ')

/** A thread by itself. */
function alone(count: number): Team {
  const register = (name: string, n: number | string): string => `${name}_${n}`
  return {
    size: 1,
    declarations: '',
    begin: 'let team = i32(thread.x);\nlet lane = 0;',
    own: (name, place) => `let ${name} = ${place('first')};`,
    load: (name, buffer, own, factor) => unroll(count, (n) => `let ${register(name, n)} = ${times(`${buffer}[${own}][${n}]`, factor)};`),
    sums: (...names) => unroll(count, (n) => names.map((name) => `var ${register(name, n)} = Lane();`).join(' ')),
    register,
    store: (buffer, own, value) => unroll(count, (n) => `${buffer}[${own}][${n}] = ${value(n)};`),
    visit: (name, buffer, place) => unroll(count, (n) => `let ${name}${n} = ${buffer}[${place}][${n}];`),
    product: (name, visited) => `total(${sumOver(count, (n) => `${register(name, n)} * ${visited}${n}`)})`,
    seen: (value) => value,
    spread: (value) => value
  }
}

/**
 * Four neighbours of a subgroup. Lane l has every fourth number of a row, from its l-th on, so what the four read at once lies side by side, and a processor
 * takes it in one piece. Component r of a register is of the row that lane l ^ r owns: a product's parts come together, and factors spread out, by swaps
 * between the lanes. Registers are arrays, since a processor keeps them in memory anyhow and compiles a loop sooner than what it would unroll to.
 */
function quad(count: number): Team {
  const register = (name: string, n: number | string): string => `${name}[${n}]`
  const rows = [0, 1, 2, 3]
  return {
    size: 4,
    declarations: `fn turn(v: vec4<f32>, lane: i32) -> vec4<f32> {
  let w = select(v, v.yxwz, (lane & 1) != 0);
  return select(w, w.zwxy, (lane & 2) != 0);
}
fn together(v: vec4<f32>) -> f32 { return (v.x + quadSwapX(v.y)) + (quadSwapY(v.z) + quadSwapDiagonal(v.w)); }
fn spread(v: f32) -> vec4<f32> { return vec4<f32>(v, quadSwapX(v), quadSwapY(v), quadSwapDiagonal(v)); }`,
    begin: 'let team = i32(thread.x) / 4;\nlet lane = i32(rank & 3u);',
    own: (name, place) => rows.map((row) => `let ${name}${row} = ${place(`min(first + ${row}, last)`)};`).join('\n'),
    load: (name, buffer, own, factor) => `var ${name}: array<vec4<f32>, ${count}>;
for (var n = 0; n < ${count}; n++) {
let rows = vec4<f32>(${rows.map((row) => `${buffer}[${own}${row}][n][lane]`).join(', ')});
${register(name, 'n')} = ${times('turn(rows, lane)', factor)};
}`,
    sums: (...names) => names.map((name) => `var ${name}: array<vec4<f32>, ${count}>;`).join('\n'),
    register,
    store: (buffer, own, value) => `for (var n = 0; n < ${count}; n++) {
let rows = turn(${value('n')}, lane);
${rows.map((row) => `if (first + ${row} <= last) { ${buffer}[${own}${row}][n][lane] = rows[${row}]; }`).join('\n')}
}`,
    visit: (name, buffer, place) => `let ${name} = &${buffer}[${place}];
${unroll(count, (n) => `let ${name}${n} = (*${name})[${n}][lane];`)}`,
    product: (name, visited) => `together(${sumOver(count, (n) => `${register(name, n)} * ${visited}${n}`)})`,
    seen: (value, hidden, distance) => `select(${hidden}, ${value}, u32(${distance}) < u32(u.window))`,
    spread: (value) => `spread(${value})`
  }
}

const TEAMS: Record<TeamKind, (count: number) => Team> = { alone, quad }

export const teamOf = (kind: TeamKind, count: number): Team => TEAMS[kind](count)

/** Rows of one head, as a buffer's elements. */
export const rowsOf = (count: number) => `array<Lane, ${count}>` as const

/** Declares `first` and `last`, the team's rows among those from `begin` to before `end`, and `row`, the thread's own. Ends teams that have none. */
export const ownRows = ({ size }: Team, begin: string, end: string): string => `let first = ${begin} + team * ${size};
if (first >= ${end}) { return; }
let last = min(first + ${size - 1}, ${end} - 1);
let row = min(first + lane, last);`
