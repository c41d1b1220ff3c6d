// How frozen weights are held on the device, by choice and by what their file is.
import type { PackingId, StoredDtype } from '../kernels/packings'

/** A row a choice, as the page and the command line show it; the first is the default. */
export const PRECISIONS = {
  stored: { title: 'As stored', help: 'Half-precision files stay in half the bytes, without any loss; others are float32.' },
  float16: { title: 'float16', help: 'Half the bytes of float32; numbers of a wider file are rounded to 1 part in 2048.' },
  int8: { title: 'int8', help: 'A quarter of the bytes of float32; answers change a little, since each row keeps 255 levels.' },
  float32: { title: 'float32', help: 'The most exact, and the most memory.' }
} as const

export type Precision = keyof typeof PRECISIONS

/** The packing of a matrix that is stored as `dtype`; undefined is float32. */
export function packingFor(precision: Precision, dtype: StoredDtype): PackingId | undefined {
  const lossless = ({ F16: 'float16', BF16: 'bfloat16', F32: undefined } as const)[dtype]
  if (precision === 'stored') return lossless
  return precision === 'float32' ? undefined : precision
}
