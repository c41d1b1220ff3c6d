// Results that are sooner computed again than kept: a backward pass keeps what they are made of, and makes them when it reads them.
import * as tf from '@tensorflow/tfjs'

/** The part of a tape's node that matters here. */
interface Saving {
  /** What the node's gradient reads; replaced in place. */
  saved?: tf.Tensor[]
}

type Make = (...inputs: tf.Tensor[]) => tf.Tensor[]

interface Recipe {
  inputs: readonly tf.Tensor[]
  make: Make
  /** From the time that a result is dropped until it is made: the inputs' data, or where an input is itself made again, how. */
  sources: (tf.Tensor | Result)[]
  /** Nodes and other recipes that still wait for a result. */
  users: number
  made?: tf.Tensor[]
}

/** One of the tensors that a recipe makes. */
interface Result {
  recipe: Recipe
  at: number
}

/** The results of one walk over a tape that can be computed again. */
export class Recomputed {
  readonly #results = new Map<object, Result>()
  readonly #dropped = new Map<Saving, { at: number; result: Result }[]>()

  /** Tells that `results` are `make(...inputs)`. */
  note(results: readonly tf.Tensor[], inputs: readonly tf.Tensor[], make: Make): void {
    const recipe: Recipe = { inputs, make, sources: [], users: 0 }
    results.forEach(({ dataId }, at) => this.#results.set(dataId, { recipe, at }))
  }

  /** Frees what these nodes keep of such results, where they keep what those are made of, or what that is made of in turn. */
  drop(nodes: readonly Saving[]): void {
    const kept = new Map(nodes.flatMap(({ saved = [] }) => saved.map((tensor) => [tensor.dataId, tensor] as const)))
    for (const node of nodes) {
      const found = (node.saved ?? []).flatMap((tensor, at) => {
        const result = this.#makeable(tensor, kept)
        if (result) this.#use(result, kept)
        return result ? [{ at, result }] : []
      })
      for (const { at } of found) node.saved?.[at]?.dispose()
      if (found.length > 0) this.#dropped.set(node, found)
    }
  }

  /** Computes again what was dropped of a node, whose gradient is to be taken now. */
  restore(node: Saving): void {
    for (const { at, result } of this.#dropped.get(node) ?? []) {
      node.saved![at] = tf.keep(made(result).clone())
      release(result)
    }
    this.#dropped.delete(node)
  }

  /** Frees what was kept for nodes whose gradients nobody took. */
  dispose(): void {
    for (const dropped of this.#dropped.values()) for (const { result } of dropped) release(result)
    this.#dropped.clear()
  }

  /** How a tensor is made from what is kept; undefined where it is not. */
  #makeable(tensor: tf.Tensor, kept: ReadonlyMap<object, tf.Tensor>): Result | undefined {
    const result = this.#results.get(tensor.dataId)
    return result?.recipe.inputs.every((input) => this.#makeable(input, kept) ?? kept.has(input.dataId)) ? result : undefined
  }

  #use({ recipe }: Result, kept: ReadonlyMap<object, tf.Tensor>): void {
    if (recipe.users++ > 0) return
    recipe.sources = recipe.inputs.map((input) => {
      const result = this.#makeable(input, kept)
      if (result) this.#use(result, kept)
      // Of its own, since the other nodes may turn out to be of no use.
      return result ?? tf.keep(kept.get(input.dataId)!.clone())
    })
  }
}

function made({ recipe, at }: Result): tf.Tensor {
  recipe.made ??= tf.tidy(() => {
    const results = recipe.make(...recipe.sources.map((source) => ('recipe' in source ? made(source) : source)))
    return results.map((tensor) => tf.keep(tensor))
  })
  letGo(recipe)
  return recipe.made[at]!
}

function release({ recipe }: Result): void {
  if (--recipe.users > 0) return
  letGo(recipe)
  tf.dispose(recipe.made)
}

/** Frees what a recipe's results are made of. */
function letGo({ sources }: Recipe): void {
  for (const source of sources.splice(0)) {
    if ('recipe' in source) release(source)
    else source.dispose()
  }
}
