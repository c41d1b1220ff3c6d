// The model of GPT-2's size that the tests cut short, whole, in this page's WebGPU.
import { startDevice } from '../src/engine/device/start'
import { runGpt2Size, type Gpt2SizeResult } from '../tests/engine/gpt2Size'

declare global {
  var measureGpt2Size: (layers: number) => Promise<Gpt2SizeResult & { adapter: string }>
}

const { adapter } = await startDevice({ prefer: 'webgpu', wasm: { plain: '', simd: '' } })
globalThis.measureGpt2Size = async (layers) => ({ ...(await runGpt2Size(layers)), adapter })
