// Results that are sooner computed again than kept: of a norm or an activation a backward pass keeps what goes in, and need not keep what comes out.
import * as tf from '@tensorflow/tfjs'

/** The part of a tape's node that matters here. */
interface Saving {
  /** What the node's gradient reads; replaced in place. */
  saved?: tf.Tensor[]
}

interface Recipe {
  inputs: readonly tf.Tensor[]
  make: (...inputs: tf.Tensor[]) => tf.Tensor
  /** The inputs' data, from the time that something is dropped. */
  kept: tf.Tensor[]
  /** Nodes that still wait for it. */
  users: number
  made?: tf.Tensor
}

/** The results of one walk over a tape that can be computed again. */
export class Recomputed {
  readonly #recipes = new Map<object, Recipe>()
  readonly #dropped = new Map<Saving, { at: number; recipe: Recipe }[]>()

  /** Tells that `result` is `make(...inputs)`, which takes little time. */
  note(result: tf.Tensor, inputs: readonly tf.Tensor[], make: Recipe['make']): void {
    this.#recipes.set(result.dataId, { inputs, make, kept: [], users: 0 })
  }

  /** Frees what these nodes keep of such results, where they keep the inputs too. */
  drop(nodes: readonly Saving[]): void {
    const kept = new Map(nodes.flatMap(({ saved = [] }) => saved.map((tensor) => [tensor.dataId, tensor] as const)))
    for (const node of nodes) {
      const found = (node.saved ?? []).flatMap((tensor, at) => {
        const recipe = this.#recipes.get(tensor.dataId)
        const inputs = recipe?.inputs.map(({ dataId }) => kept.get(dataId))
        if (!recipe || !inputs?.every((input) => input !== undefined)) return []
        // Of its own, since the other nodes may turn out to be of no use.
        if (recipe.users++ === 0) recipe.kept = inputs.map((input) => tf.keep(input.clone()))
        return [{ at, recipe }]
      })
      for (const { at } of found) node.saved?.[at]?.dispose()
      if (found.length > 0) this.#dropped.set(node, found)
    }
  }

  /** Computes again what was dropped of a node, whose gradient is to be taken now. */
  restore(node: Saving): void {
    for (const { at, recipe } of this.#dropped.get(node) ?? []) {
      recipe.made ??= tf.tidy(() => tf.keep(recipe.make(...recipe.kept)))
      node.saved![at] = tf.keep(recipe.made.clone())
      if (--recipe.users === 0) free(recipe)
    }
    this.#dropped.delete(node)
  }

  /** Frees what was kept for nodes whose gradients nobody took. */
  dispose(): void {
    for (const dropped of this.#dropped.values()) for (const { recipe } of dropped) free(recipe)
    this.#dropped.clear()
  }
}

function free({ kept, made }: Recipe): void {
  tf.dispose(kept)
  made?.dispose()
}
