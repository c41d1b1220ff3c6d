// Copies that need not be: the WebAssembly backend copies memory for a clone and for a cast to the same type, of which the tape makes hundreds a step.
import type * as tf from '@tensorflow/tfjs'
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm'

/** A second owner of the same memory, as the backend's own reshape makes it. */
function shared(backend: BackendWasm, x: tf.TensorInfo): tf.TensorInfo {
  backend.incRef(x.dataId)
  return { dataId: x.dataId, shape: x.shape, dtype: x.dtype }
}

/** `Identity` and `Cast` that share their input's memory wherever the result is the same numbers of the same type. */
export function sharing(original: tf.KernelConfig): tf.KernelConfig {
  return {
    ...original,
    kernelFunc: (params) => {
      const { x } = params.inputs as { x: tf.TensorInfo }
      const { dtype = x.dtype } = (params.attrs ?? {}) as { dtype?: tf.DataType }
      return x.dtype === 'string' || x.dtype !== dtype ? original.kernelFunc(params) : shared(params.backend as BackendWasm, x)
    }
  }
}
