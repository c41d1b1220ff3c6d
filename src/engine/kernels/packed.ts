// A frozen matrix that stays packed on the device, in half or a quarter of the bytes of float32; products unpack it as they read it.
import * as tf from '@tensorflow/tfjs'
import { packWords, unpackWords, widened, wordsPerRow, type PackingId, type StoredDtype } from './packings'
import { gatherPacked } from './webgpu/gather'
import { canFuse, runner } from './webgpu/run'

/** `[rows, columns]` in `words`, an int32 tensor `[rows, wordsPerRow]` on WebGPU; see `./packings`. Never trained: it has no gradient. */
export class PackedMatrix {
  constructor(
    readonly words: tf.Tensor2D,
    readonly packing: PackingId,
    readonly shape: readonly [number, number]
  ) {}

  /** Bytes on the device. */
  get bytes(): number {
    return 4 * this.words.size
  }

  /** Its numbers, as float32. */
  get size(): number {
    return this.shape[0] * this.shape[1]
  }

  /** A float32 tensor of the same shape, which the caller (or the scope) frees. Throws where a device cannot bind that many bytes. */
  unpack(): tf.Tensor2D {
    return gatherPacked(
      this,
      Int32Array.from({ length: this.shape[0] }, (_, row) => row)
    )
  }

  /** Its numbers on the host, unpacked there: also of a matrix that the device could not bind as float32. */
  async data(): Promise<Float32Array<ArrayBuffer>> {
    return unpackWords((await this.words.data()) as Int32Array, this.shape, this.packing)
  }

  dispose(): void {
    this.words.dispose()
  }
}

/** A weight that nothing trains, `[rows, columns]`. */
export type FrozenMatrix = tf.Tensor2D | PackedMatrix

/**
 * Whether matrices can stay packed here. On WebAssembly and WebGL, whose products read float32 alone, they are widened once when they are loaded:
 * unpacked at each use, a matrix would lie on the tape in both forms from its layer's forward pass to its backward pass, which is no less memory.
 */
export function canPack(): boolean {
  return canFuse()
}

/**
 * Puts a frozen matrix on the device straight from a file's bytes (`[rows, columns]`, little-endian): packed where a packing is given and can be used here,
 * else as float32. Leaves no copy on the host beside `bytes`. The caller (or the scope) disposes it.
 * @throws RangeError where a number is beyond what the packing holds
 */
export function frozenMatrix(bytes: Uint8Array, dtype: StoredDtype, shape: readonly [number, number], packing?: PackingId): FrozenMatrix {
  if (!packing || !canPack()) return tf.tensor2d(widened(bytes, dtype), [...shape], 'float32')
  const words = runner().upload(packWords(bytes, dtype, shape, packing))
  const tensor = tf.engine().makeTensorFromTensorInfo({ ...words, shape: [shape[0], wordsPerRow(packing, shape[1])] })
  return new PackedMatrix(tensor as tf.Tensor2D, packing, shape)
}

/** The matrix as a float32 tensor: itself, or unpacked into the current scope. */
export function unpacked(matrix: FrozenMatrix): tf.Tensor2D {
  return matrix instanceof PackedMatrix ? matrix.unpack() : matrix
}
