// The method registry as the page reads it.
import { methods } from '../engine/methods/registry'
import { defaultRecipe } from '../engine/training/defaultRecipe'
import type { MethodTable } from './setup'

export const methodTable: MethodTable = {
  methods: Object.values(methods),
  defaultRecipe: (method, seed) => defaultRecipe(method, seed)
}
