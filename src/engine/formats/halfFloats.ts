// Float16 and bfloat16 numbers, as they lie in a file, widened to float32 without any loss.

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
