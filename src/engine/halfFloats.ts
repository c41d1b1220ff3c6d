// Float16 and bfloat16 numbers, as they lie in a file, widened to float32 without any loss; and float32 rounded to float16.

let float16Bits: Uint32Array | undefined

/** The float32 bit patterns of all 65,536 float16 numbers: looking one up is several times faster than computing it. */
function float16Table(): Uint32Array {
  if (float16Bits) return float16Bits
  const table = new Uint32Array(65536)
  for (let half = 0; half < 65536; half++) {
    const sign = (half & 0x8000) << 16
    const exponent = (half >>> 10) & 0x1f
    let fraction = half & 0x3ff
    if (exponent === 31) {
      table[half] = sign | 0x7f800000 | (fraction << 13)
    } else if (exponent > 0) {
      table[half] = sign | ((exponent + 112) << 23) | (fraction << 13)
    } else if (fraction === 0) {
      table[half] = sign
    } else {
      // A subnormal: float32 has the range to write it as a normal number, once the leading one stands at bit 10.
      const shift = Math.clz32(fraction) - 21
      fraction = (fraction << shift) & 0x3ff
      table[half] = sign | ((113 - shift) << 23) | (fraction << 13)
    }
  }
  return (float16Bits = table)
}

/** IEEE 754 binary16 bit patterns as float32; subnormals, infinities, and the sign and payload of NaN are kept. */
export function float16ToFloat32(halves: Uint16Array): Float32Array<ArrayBuffer> {
  const table = float16Table()
  // Written as bits: assigning through a Float32Array may change a NaN's payload.
  const bits = new Uint32Array(halves.length)
  for (let i = 0; i < halves.length; i++) bits[i] = table[halves[i] as number] as number
  return new Float32Array(bits.buffer)
}

/** Bfloat16 bit patterns, which are the upper halves of float32 numbers, as float32. */
export function bfloat16ToFloat32(halves: Uint16Array): Float32Array<ArrayBuffer> {
  const bits = new Uint32Array(halves.length)
  for (let i = 0; i < halves.length; i++) bits[i] = (halves[i] as number) << 16
  return new Float32Array(bits.buffer)
}

/** Float32 rounded to the nearest IEEE 754 binary16 number, ties to even; beyond 65,504 to infinity. */
export function float32ToFloat16(values: Float32Array): Uint16Array<ArrayBuffer> {
  const halves = new Uint16Array(values.length)
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  const added = new Float32Array(1)
  const addedBits = new Uint32Array(added.buffer)
  for (let i = 0; i < bits.length; i++) {
    const sign = (bits[i]! >>> 16) & 0x8000
    const magnitude = bits[i]! & 0x7fffffff
    let half: number
    if (magnitude > 0x7f800000) half = 0x7e00
    else if (magnitude >= 0x477ff000) half = 0x7c00
    else if (magnitude >= 0x38800000) half = (magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13
    else {
      // Subnormal: a float32 from 0.5 up counts in steps of 2^-24, as these do, so the sum rounds as is wanted.
      added[0] = Math.abs(values[i]!) + 0.5
      half = addedBits[0]! - 0x3f000000
    }
    halves[i] = sign | half
  }
  return halves
}
