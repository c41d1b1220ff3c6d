// How several tensors share the workgroups of one dispatch: each has as many as its size asks for.
import { unroll } from './program'
import { WORKGROUP } from './run'

export interface Shares {
  /** Where the workgroups of each tensor end. */
  ends: number[]
  total: number
}

/**
 * Workgroups of each tensor, one after the other. A thread takes at least `least` lanes where there are that many, and no tensor has more than `most`
 * workgroups. Processors that play a GPU run every branch of a program once in each workgroup, taken or not, so each workgroup must have enough to do.
 */
export function shareWorkgroups(lanes: readonly number[], least: number, most: number): Shares {
  let total = 0
  const ends = lanes.map((count) => (total += Math.min(most, Math.ceil(count / (WORKGROUP * least)))))
  return { ends, total }
}

/** Uniforms of the workgroups' ends. */
export const endUniforms = (count: number): Record<string, 'u32'> =>
  Object.fromEntries(Array.from({ length: count }, (_, tensor) => [`end${tensor}`, 'u32' as const]))

/** WGSL that declares `tensor`, which a workgroup works on, and `begin` and `stride`, by which its threads go over the lanes. */
export const findShare = (count: number): string => `var tensor = 0u;
var first = 0u;
var end = u.end0;
${unroll(count - 1, (before) => `if (group.x >= u.end${before}) { tensor = ${before + 1}u; first = u.end${before}; end = u.end${before + 1}; }`)}
let begin = (group.x - first) * ${WORKGROUP}u + rank;
let stride = (end - first) * ${WORKGROUP}u;`
