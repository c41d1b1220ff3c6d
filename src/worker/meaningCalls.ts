// The calls behind "What a prompt means": virtual tokens in words, in motion, in the eyes of the model, and beside other prompts.
import type { AttentionPaid } from '../engine/meaning/attentionPaid'

/** A token of the vocabulary near a virtual token. */
export interface NearToken {
  id: number
  /** As the tokenizer writes it, with its spaces. */
  text: string
  value: number
}

export interface VirtualToken {
  /** The nearest tokens by cosine and by dot product, the nearest first. */
  cosine: NearToken[]
  dot: NearToken[]
  /** Euclidean length of the vector. */
  length: number
}

/** How virtual tokens moved, in the plane of most variance of all their places and the words around them. */
export interface PromptPath {
  /** At which the virtual tokens were looked at. */
  steps: number[]
  /** `[steps][virtualTokens]`. */
  places: [number, number][][]
  words: { text: string; place: [number, number] }[]
  /** Share of the variance that each axis explains. */
  explained: [number, number]
}

export interface PromptMeaning {
  /** At the run's best step. */
  bestStep: number
  tokens: VirtualToken[]
  /** Mean Euclidean length of the vocabulary's embeddings, to compare with. */
  vocabularyLength: number
  /** Means over heads and texts of the validation split. */
  attention: AttentionPaid & { texts: number }
  /** Absent where the run was tuned before trajectories were kept, or its last checkpoint is gone. */
  path?: PromptPath
}

export interface MeaningApi {
  /** What the best virtual tokens of a run of the library mean. Throws a `UserError` where it has none. */
  promptMeaning(run: string): Promise<PromptMeaning>
  /** `[runs][runs]` similarity of the runs' best virtual tokens (see `promptSimilarity`). They must belong to the loaded model. */
  promptSimilarities(runs: string[]): Promise<number[][]>
}
