// WGSL programs as data: bindings and uniforms are declared once, and their WGSL text follows from that.

export type Lanes = 1 | 4
type ElementType = 'f32' | 'i32' | 'u32' | 'vec2<f32>' | 'vec2<u32>' | 'vec4<f32>' | 'Lane' | `array<Lane, ${number}>`
type UniformType = 'f32' | 'i32' | 'u32'

export interface Program {
  /** Names the text: two programs with one key are equal. */
  key: string
  /** Written (and readable) storage buffers, bound first, in this order. A buffer is never both here and among the inputs. */
  outputs: Record<string, ElementType>
  /** Read-only storage buffers, bound next. Every one must be used: the layout is derived from the text. */
  inputs?: Record<string, ElementType>
  /** Fields of `u`. */
  uniforms: Record<string, UniformType>
  workgroup: readonly [number, number?]
  /** Neighbours in a subgroup hand each other values; runs only on devices that have the feature. */
  subgroups?: boolean
  /** Computes with float16; runs only on devices that have the feature. */
  float16?: boolean
  /** Functions and workgroup variables in front of `main`. */
  declarations?: string
  /**
   * Statements of `main`, which sees `thread` (global id), `group` (workgroup id), `member` (id in the workgroup), `rank` (its flat form) and `groups`
   * (how many workgroups run).
   */
  main: string
}

/** `Lane` is what a thread reads at once: four neighbours where a size allows it, else one; the text is the same for both. */
const LANES: Record<Lanes, string> = {
  1: `alias Lane = f32;
fn total(v: Lane) -> f32 { return v; }
fn largest(v: Lane) -> f32 { return v; }`,
  4: `alias Lane = vec4<f32>;
fn total(v: Lane) -> f32 { return (v.x + v.y) + (v.z + v.w); }
fn largest(v: Lane) -> f32 { return max(max(v.x, v.y), max(v.z, v.w)); }`
}

/** Four numbers a thread where `width` is a multiple of four, else one. */
export function lanesFor(width: number): Lanes {
  return width % 4 === 0 ? 4 : 1
}

/** A program for each combination of compile-time constants, written once and remembered. */
export function variants<Constants extends (string | number | boolean)[]>(
  name: string,
  write: (...constants: Constants) => Omit<Program, 'key'> & { lanes?: Lanes }
): (...constants: Constants) => Program {
  const written = new Map<string, Program>()
  return (...constants) => {
    const key = `${name} ${constants.join(' ')}`
    let program = written.get(key)
    if (!program) {
      const { lanes = 1, ...rest } = write(...constants)
      program = { ...rest, key, declarations: `${LANES[lanes]}\n${rest.declarations ?? ''}` }
      written.set(key, program)
    }
    return program
  }
}

/** The same statement for each index, one a line: loops over registers, which WGSL cannot index without spilling them. */
export function unroll(count: number, line: (index: number) => string): string {
  return Array.from({ length: count }, (_, index) => line(index)).join('\n')
}

/** The whole WGSL text. */
export function wgsl(program: Program): string {
  const outputs = Object.entries(program.outputs)
  const inputs = Object.entries(program.inputs ?? {})
  const bindings = [
    ...(program.float16 ? ['enable f16;'] : []),
    // Four neighbours leave together or not at all, which the language's own analysis cannot see.
    ...(program.subgroups ? ['enable subgroups;', 'diagnostic(off, subgroup_uniformity);'] : []),
    ...outputs.map(([name, type], at) => `@group(0) @binding(${at}) var<storage, read_write> ${name}: array<${type}>;`),
    ...inputs.map(([name, type], at) => `@group(0) @binding(${outputs.length + at}) var<storage, read> ${name}: array<${type}>;`),
    `struct Uniforms { ${Object.entries(program.uniforms)
      .map(([name, type]) => `${name}: ${type}`)
      .join(', ')} };`,
    `@group(0) @binding(${outputs.length + inputs.length}) var<uniform> u: Uniforms;`
  ]
  const builtins = [
    '@builtin(global_invocation_id) thread: vec3<u32>',
    '@builtin(workgroup_id) group: vec3<u32>',
    '@builtin(local_invocation_id) member: vec3<u32>',
    '@builtin(local_invocation_index) rank: u32',
    '@builtin(num_workgroups) groups: vec3<u32>'
  ]
  const [x, y = 1] = program.workgroup
  return `${bindings.join('\n')}
${program.declarations ?? ''}
@compute @workgroup_size(${x}, ${y})
fn main(${builtins.join(', ')}) {
${program.main}
}`
}

/** Encodes uniform values in the order of the declared fields. */
export function encodeUniforms(program: Program, values: readonly number[]): ArrayBuffer {
  const types = Object.values(program.uniforms)
  if (types.length !== values.length) throw new Error(`${program.key} takes ${types.length} uniforms, not ${values.length}.`)
  const bytes = new DataView(new ArrayBuffer(Math.ceil(values.length / 4) * 16))
  types.forEach((type, at) => {
    const value = values[at] as number
    if (type === 'f32') bytes.setFloat32(at * 4, value, true)
    else if (type === 'i32') bytes.setInt32(at * 4, value, true)
    else bytes.setUint32(at * 4, value, true)
  })
  return bytes.buffer
}
