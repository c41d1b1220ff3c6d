// The program of a matrix product in each kind of tile.
import type { ProductVariant } from './matmulParts'
import { registerProgram } from './matmulRegister'
import { SIDE, workgroupProgram } from './matmulWorkgroup'
import type { Program } from './program'
import type { Tile } from './tiles'

export { isSum, type Arrangement, type MatmulMode, type ProductVariant } from './matmulParts'

/** The program of a product in a tiling. */
export function matmulProgram(tile: Tile, variant: ProductVariant): Program {
  return tile.kind === 'workgroup' ? workgroupProgram(variant) : registerProgram(tile, variant)
}

/** The sides of a workgroup's outputs, in numbers. */
export function extentOf(tile: Tile): [tall: number, wide: number] {
  return tile.kind === 'workgroup' ? [SIDE, SIDE] : [tile.rows * tile.groupRows, tile.columns * tile.groupColumns]
}
