// What computes, in plain data: the one description of a device that the page, the command line and stored runs show.

export type BackendName = 'webgpu' | 'wasm' | 'webgl'

export interface DeviceReport {
  backend: BackendName
  /** Adapter as the browser names it: "nvidia hopper", "google swiftshader", "WebAssembly SIMD". */
  adapter: string
  /** True where a processor does the work of a GPU, and for wasm. */
  software: boolean
  /** What runs and how slow, for the person at the page; absent on a hardware WebGPU. */
  note?: string
  /** Optional WebGPU features that were granted. */
  features: string[]
  /** Largest tensor that the device binds, in bytes. */
  maximumBufferBytes: number
}
