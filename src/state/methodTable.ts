// The method registry, fetched after the first paint: it brings TensorFlow.js along, which the page must not wait for.
import type { MethodTable } from './setup'

export async function loadMethodTable(): Promise<MethodTable> {
  const [{ methods }, { defaultRecipe }] = await Promise.all([
    import('../engine/methods/registry'),
    import('../engine/training/defaultRecipe')
  ])
  return { methods: Object.values(methods), defaultRecipe: (method, seed) => defaultRecipe(method, seed) }
}
