import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { UserError } from '../../src/engine/errors'
import {
  decodeTensor,
  readSafetensors,
  readSafetensorsHeader,
  safetensorsLength,
  tensorToFloat32,
  writeSafetensors
} from '../../src/engine/formats/safetensors'

const encoder = new TextEncoder()

/** A file with any header text, honest about its length unless told otherwise. */
function fileOf(header: string | object, data: Uint8Array | number = 0, headerLength?: bigint): Uint8Array {
  const json = encoder.encode(typeof header === 'string' ? header : JSON.stringify(header))
  const body = typeof data === 'number' ? new Uint8Array(data) : data
  const file = new Uint8Array(8 + json.length + body.length)
  new DataView(file.buffer).setBigUint64(0, headerLength ?? BigInt(json.length), true)
  file.set(json, 8)
  file.set(body, 8 + json.length)
  return file
}

const entry = (dtype: string, shape: unknown, begin: unknown, end: unknown) => ({ dtype, shape, data_offsets: [begin, end] })

describe('a good file', () => {
  it('comes back from its bytes, whatever the names, shapes and numbers', () => {
    const tensor = fc.array(fc.nat(5), { maxLength: 3 }).chain((shape) => {
      const size = shape.reduce((product, length) => product * length, 1)
      return fc.float32Array({ minLength: size, maxLength: size }).map((data) => ({ shape, data }))
    })
    const name = fc
      .oneof(fc.string({ unit: 'grapheme' }), fc.constantFrom('__proto__', '{"a":[1,2]}', '\\"'))
      .filter((text) => text !== '__metadata__')
    const tensors = fc.array(fc.tuple(name, tensor), { maxLength: 6 }).map((pairs) => Object.fromEntries(pairs))
    const metadata = fc.dictionary(fc.string(), fc.string(), { maxKeys: 3, noNullPrototype: true })
    fc.assert(
      fc.property(tensors, metadata, (written, notes) => {
        const file = readSafetensors(writeSafetensors(written, notes))
        expect(file.metadata).toEqual(notes)
        expect([...file.tensors.keys()].sort()).toEqual(Object.keys(written).sort())
        for (const [key, { shape, data }] of Object.entries(written)) {
          expect(file.tensors.get(key)?.shape).toEqual(shape)
          expect(new Uint8Array(tensorToFloat32(file, key).buffer)).toEqual(new Uint8Array(data.slice().buffer))
        }
      }),
      { numRuns: 200 }
    )
  })

  it('has the same bytes for the same tensors in any order', () => {
    const a = { shape: [2], data: Float32Array.of(1, 2) }
    const b = { shape: [1], data: Float32Array.of(3) }
    expect(writeSafetensors({ a, b }, { format: 'pt' })).toEqual(writeSafetensors({ b, a }, { format: 'pt' }))
  })

  it('has a length that is known from the shapes alone', () => {
    const shapes = { 'b.weight': [2, 3], a: [5], scalar: [] }
    const tensors = Object.fromEntries(
      Object.entries(shapes).map(([name, shape]) => [
        name,
        { shape, data: new Float32Array((shape as number[]).reduce((product, size) => product * size, 1)) }
      ])
    )
    expect(safetensorsLength(shapes)).toBe(writeSafetensors(tensors).length)
  })

  it('is read from PyTorch, as float32 and as float16', () => {
    const golden = JSON.parse(readFileSync('tests/fixtures/golden/llama/config.json', 'utf8')) as {
      vocab_size: number
      hidden_size: number
    }
    const float32 = readSafetensors(readFileSync('tests/fixtures/golden/llama/model.safetensors'))
    expect(float32.metadata).toEqual({ format: 'pt' })
    expect(float32.tensors.get('model.embed_tokens.weight')?.shape).toEqual([golden.vocab_size, golden.hidden_size])
    const float16 = readSafetensors(readFileSync('public/models/tuneground-2m/model.safetensors'))
    const numbers = [...float16.tensors.keys()].reduce((sum, name) => sum + tensorToFloat32(float16, name).length, 0)
    expect(numbers).toBe(1_901_696)
    expect(tensorToFloat32(float16, 'model.norm.weight').every((value) => value > 0 && value < 100)).toBe(true)
  })

  it('may be read by its header alone, and one tensor at a time', () => {
    const whole = writeSafetensors({ a: { shape: [3], data: Float32Array.of(1, 2, 3) }, b: { shape: [], data: Float32Array.of(4) } })
    const { tensors, dataBegin } = readSafetensorsHeader(whole.subarray(0, whole.length - 16), whole.length)
    expect(dataBegin).toBe(whole.length - 16)
    const b = tensors.get('b')!
    expect(decodeTensor('b', b, whole.subarray(b.begin, b.end))).toEqual(Float32Array.of(4))
    expect(() => decodeTensor('b', b, whole.subarray(b.begin, b.end - 1))).toThrow(/"b" should have 4 bytes and has 3/)
  })

  it('may hold tensors at odd addresses, without numbers, and of dtypes that nobody asks for', () => {
    const file = readSafetensors(
      fileOf(
        { mask: entry('BOOL', [1], 0, 1), empty: entry('F32', [0, 9], 1, 1), weight: entry('F32', [1], 1, 5) },
        Uint8Array.of(1, 0, 0, 128, 63)
      )
    )
    expect(tensorToFloat32(file, 'weight')).toEqual(Float32Array.of(1))
    expect(tensorToFloat32(file, 'empty').length).toBe(0)
    expect(() => tensorToFloat32(file, 'mask')).toThrow(/"mask" is stored as BOOL, which is not supported/)
    expect(() => tensorToFloat32(file, 'bias')).toThrow(/no tensor "bias"/)
  })
})

describe('half floats', () => {
  const decode = (dtype: string, halves: number[]) => {
    const data = new Uint8Array(Uint16Array.from(halves).buffer)
    return tensorToFloat32(readSafetensors(fileOf({ x: entry(dtype, [halves.length], 0, data.length) }, data)), 'x')
  }

  it('are exact for every float16 number', () => {
    const all = decode(
      'F16',
      Array.from({ length: 65536 }, (_, i) => i)
    )
    for (let half = 0; half < 65536; half++) {
      const sign = half >>> 15 ? -1 : 1
      const exponent = (half >>> 10) & 31
      const fraction = (half & 1023) / 1024
      const value = exponent === 0 ? fraction * 2 ** -14 : exponent < 31 ? (1 + fraction) * 2 ** (exponent - 15) : fraction ? NaN : Infinity
      if (!Object.is(all[half], sign * value)) expect.fail(`float16 ${half.toString(16)}: ${all[half]} for ${sign * value}`)
    }
    expect(new Uint32Array(all.buffer)[0xfe01]).toBe(0xffc02000)
  })

  it('are exact for bfloat16', () => {
    const values = decode('BF16', [0x3f80, 0xc049, 0x0001, 0x8000, 0x7f80, 0xff80, 0x7f7f])
    expect([...values]).toEqual([1, -3.140625, 2 ** -133, -0, Infinity, -Infinity, (2 - 2 ** -7) * 2 ** 127])
    expect(new Uint32Array(decode('BF16', [0x7fa1]).buffer)[0]).toBe(0x7fa10000)
  })
})

describe('a bad file', () => {
  const good = entry('F32', [1], 0, 4)
  const cases: [string, Uint8Array, RegExp][] = [
    ['empty', new Uint8Array(0), /0 bytes, fewer than the 8/],
    ['cut in its length', new Uint8Array(7), /7 bytes, fewer than the 8/],
    ['of a huge header', fileOf('{}', 0, 2n ** 63n), /claims 9223372036854775808 bytes/],
    ['of a header past its end', fileOf('{}', 0, 3n), /claims 3 bytes, but only 2 follow/],
    ['with no header', fileOf('', 4), /does not begin with "\{"/],
    ['of another kind', fileOf('<html>'), /does not begin with "\{"/],
    ['with a cut header', fileOf('{"a":'), /not valid JSON/],
    ['with an open text', fileOf('{"a'), /not valid JSON/],
    ['with bytes that are no UTF-8', fileOf('{"a":1}').with(10, 0xff), /not valid UTF-8/],
    ['with a list for a tensor', fileOf({ a: [] }), /"a" is not described by an object/],
    ['with null for a tensor', fileOf({ a: null }), /"a" is not described by an object/],
    ['with a key twice', fileOf('{"a":{"dtype":"F32"},"\\u0061":{}}'), /key "a" twice/],
    ['with a dtype twice', fileOf('{"a":{"dtype":"F32","dtype":"F16"}}'), /key "dtype" twice/],
    ['nested deep', fileOf('{"a":' + '['.repeat(1e6)), /nested too deep/],
    ['with metadata of numbers', fileOf({ __metadata__: { step: 1 } }), /"__metadata__" is not a map of texts/],
    ['with a list as metadata', fileOf({ __metadata__: ['x'] }), /"__metadata__" is not a map of texts/],
    ['with an unknown dtype', fileOf({ a: entry('F23', [1], 0, 4) }, 4), /"a" has the unknown dtype "F23"/],
    ['with an inherited dtype', fileOf({ a: entry('toString', [1], 0, 4) }, 4), /unknown dtype "toString"/],
    ['with no dtype', fileOf({ a: { shape: [1], data_offsets: [0, 4] } }, 4), /unknown dtype "undefined"/],
    ['with a negative size', fileOf({ a: entry('F32', [-1], 0, 4) }, 4), /"a" has a shape that is not/],
    ['with half a size', fileOf({ a: entry('F32', [0.5, 2], 0, 4) }, 4), /"a" has a shape that is not/],
    ['with a size past 2^53', fileOf('{"a":{"dtype":"F32","shape":[1e300],"data_offsets":[0,4]}}', 4), /"a" has a shape that is not/],
    ['with a text as size', fileOf({ a: entry('F32', ['1'], 0, 4) }, 4), /"a" has a shape that is not/],
    ['with no shape', fileOf({ a: { dtype: 'F32', data_offsets: [0, 4] } }, 4), /"a" has a shape that is not/],
    ['with a shape that overflows', fileOf({ a: entry('F32', [2 ** 40, 2 ** 40], 0, 4) }, 4), /"a" has a shape too big to count/],
    ['with three offsets', fileOf({ a: { dtype: 'F32', shape: [1], data_offsets: [0, 4, 4] } }, 4), /"a" has data_offsets that are not/],
    ['with a negative offset', fileOf({ a: entry('F32', [1], -4, 0) }, 4), /"a" has data_offsets that are not/],
    ['with offsets the wrong way', fileOf({ a: entry('F32', [1], 4, 0) }, 4), /"a" ends \(0\) before it begins \(4\)/],
    ['that is cut', fileOf({ a: good }, 3), /"a" ends at byte 4 of 3: the file is too short/],
    ['with a shape of another size', fileOf({ a: entry('F32', [2], 0, 4) }, 4), /"a" of shape \[2\] and F32 needs 8 bytes and has 4/],
    ['with half a byte', fileOf({ a: entry('F4', [3], 0, 1) }, 1), /needs 1.5 bytes and has 1/],
    ['with tensors that overlap', fileOf({ a: good, b: entry('F32', [1], 2, 6) }, 6), /"a" and "b" overlap/],
    ['with a hole', fileOf({ a: good, b: entry('F32', [1], 8, 12) }, 12), /4 bytes before tensor "b" belong to no tensor/],
    ['with bytes at the end', fileOf({ a: good }, 5), /1 bytes at its end belong to no tensor/],
    ['with bytes and no tensor', fileOf({}, 1), /1 bytes at its end belong to no tensor/]
  ]
  it.each(cases)('%s is refused', (_, bytes, message) => {
    expect(() => readSafetensors(bytes)).toThrow(message)
    expect(() => readSafetensors(bytes)).toThrow(UserError)
  })

  it.each([
    ['of ten million sizes', '{"a":{"shape":[' + '1,'.repeat(10_000_000)],
    ['of ten million entries', '{' + Array.from({ length: 10_000_000 }, (_, i) => `"${i.toString(36)}":`).join('')]
  ])('%s fails fast', (_, header) => {
    const bytes = fileOf(header)
    expect(() => readSafetensors(bytes)).toThrow(/more entries than any model/)
  })

  it('of as many entries as pass the count fails fast too', () => {
    const bytes = fileOf('{' + Array.from({ length: 500_000 }, (_, i) => `"${i}":0`).join(',') + '}')
    expect(() => readSafetensors(bytes)).toThrow(/"0" is not described by an object/)
  })

  it('never gives anything but a UserError, whichever bytes are changed', () => {
    const sound = writeSafetensors(
      { a: { shape: [2], data: Float32Array.of(1, 2) }, b: { shape: [1, 1], data: Float32Array.of(3) } },
      { k: 'v' }
    )
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(sound.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        fc.nat(sound.length),
        (changes, length) => {
          const bytes = sound.slice(0, length || sound.length)
          for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value
          try {
            const file = readSafetensors(bytes)
            for (const { begin, end } of file.tensors.values()) expect(begin <= end && end <= bytes.length).toBe(true)
          } catch (error) {
            expect(error).toBeInstanceOf(UserError)
          }
        }
      ),
      { numRuns: 2000 }
    )
  })
})
