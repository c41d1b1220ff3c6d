// What a tuning method is: the one interface between the registry's rows, the forward pass and the trainer.
import type * as tf from '@tensorflow/tfjs'
import type { LowRank } from '../kernels/lowRank'
import type { DecoderConfig } from '../model/config'
import type { DecoderLayout } from '../model/layout'
import type { Random } from '../random'

/** Tensors by name. Weights of the base go by their Hugging Face names, in the Hugging Face layout. */
export type NamedTensors = Record<string, tf.Tensor>

/** `[virtualTokens, keyValueHeads * headSize]` keys (already rotated: they carry no position) and values in front of a layer's own. */
export interface KeyValuePrefix {
  key: tf.Tensor2D
  value: tf.Tensor2D
}

/** What a method hands to the forward pass, and all that the model knows of it. Hooks run inside the gradient tape. */
export interface Adaptation {
  /** `[virtualTokens, hidden]` in front of the embedded tokens of every row. */
  virtualTokens?: tf.Tensor2D
  keyValues?(layer: number): KeyValuePrefix | undefined
  /** Changes what a linear layer reads (the feed-forward (IA)3). `path` is its Hugging Face module name. */
  linearInput?(path: string, x: tf.Tensor2D): tf.Tensor2D
  /** What is added beside a linear layer. Told and not done, so that layers of one input can take theirs together. */
  lowRank?(path: string): LowRank | undefined
  /** Changes what a linear layer gives: `x` is `[rows, in]`, `y` what the layer and `lowRank` give, `[rows, out]`. */
  linear?(path: string, x: tf.Tensor2D, y: tf.Tensor2D): tf.Tensor2D
  /** A trained copy in place of the frozen tensor of that Hugging Face name. */
  weight?(name: string): tf.Tensor | undefined
  /** Scores of the labels (logits, `[rows, labels]`) from the hidden states where the answer begins, `[rows, hidden]`, in place of the words' probabilities. */
  labelScores?(hidden: tf.Tensor2D): tf.Tensor2D
}

/** Given to the forward pass of a training step and to no other: what chance in it is drawn from. */
export interface TrainingPass {
  /** The same for the same step of the same recipe, so that a step that is computed again is the same step. */
  seed: number
  /** As `MethodContext.tensor`. */
  tensor(values: Float32Array, shape: number[]): tf.Tensor
}

export type OptionValue = number | string | boolean
export type OptionValues = Record<string, OptionValue>

/** One setting of a method, as the page, the command line and the link all show it. */
export type Option =
  | { kind: 'integer' | 'number'; label: string; help: string; default: number; minimum: number; maximum: number; step?: number }
  | { kind: 'choice'; label: string; help: string; default: string; choices: { value: string; label: string }[] }
  | {
      /** `run` is the id of a run of the library that has a soft prompt; empty where none is chosen. */
      kind: 'text' | 'run'
      label: string
      help: string
      default: string
      /** Shown only when this other option has this value. */
      when?: { option: string; value: string }
    }
  | { kind: 'flag'; label: string; help: string; default: boolean }

/** What is known of a base before its weights are there. */
export interface BaseShape {
  config: DecoderConfig
  layout: DecoderLayout
}

/** All that decides which tensors a method trains. */
export interface TrainedOn extends BaseShape {
  /** Labels of the task; 0 where it has none. */
  labels: number
}

/** A trained soft prompt of another run, to start from. */
export interface SavedPrompt {
  /** The run's name, for people. */
  name: string
  /** `[virtualTokens, hidden]`. */
  shape: [number, number]
  data: Float32Array
}

/** What a method may read when it makes its first tensors. */
export interface MethodContext extends BaseShape {
  /** A float32 copy of a weight of the base, by Hugging Face name; owned by the caller. */
  copyOf(name: string): tf.Tensor
  weightNames: readonly string[]
  /** What the model reads these tokens as, `[ids, hidden]` flat. */
  embeddingsOf(ids: readonly number[]): Promise<Float32Array>
  /**
   * Makes a tensor. Given, and not imported, like every operation of the methods (`a.mul(b)`, not `tf.mul(a, b)`): so the page can read the registry
   * without loading TensorFlow.js.
   */
  tensor(values: Float32Array, shape: number[]): tf.Tensor
  /** Token ids of a text, without special tokens. */
  encode(text: string): number[]
  /** Label words of the task, as templates insert them (with their leading space). */
  labelWords: readonly string[]
  /** Soft prompts by the id of their run: those that the recipe's options name as a start. */
  saved: ReadonlyMap<string, SavedPrompt>
  random: Random
}

export interface Method {
  id: string
  title: string
  /** `main` methods are offered at first sight; `more` are one click away. */
  tier: 'main' | 'more'
  /** One sentence for someone who meets the method for the first time. */
  summary: string
  paper?: { title: string; authors: string; year: number; url: string }
  /** False for the hand-written prompt: it is evaluated as it is. */
  trains: boolean
  /** True where the base's own weights change, so that tuning can make the model forget. */
  changesBase: boolean
  options: Record<string, Option>
  /** True where it only reads the hidden states where the answer begins: while nothing else is trained, they are computed once and kept. */
  readsFeatures?: boolean
  /** Passes over the training examples after which a budget of seconds ends early; no limit where absent. */
  maximumPasses?(options: OptionValues): number
  /** True where these options draw numbers anew in each training step, which can then not be recorded and replayed. */
  drawsAnew?(options: OptionValues): boolean
  /** Positions that the method takes in front of every text; none where absent. */
  positions?(options: OptionValues): number
  /** From our own sweep on the validation splits; `source` says which and with what result. */
  defaults: { learningRate: number; weightDecay: number; source: string }
  /** The trainable tensors at step 0, float32, owned by the caller. Throws a `UserError` where an option cannot be met. */
  initialParameters(context: MethodContext, options: OptionValues): Promise<NamedTensors>
  /** Where those tensors enter the forward pass, of a training step where `training` is given. Pure; runs inside the tape, so gradients flow into `parameters`. */
  adaptation(parameters: NamedTensors, config: DecoderConfig, options: OptionValues, training?: TrainingPass): Adaptation
  /** Shapes of the trained tensors by name, known before anything starts. */
  trainedShapes(on: TrainedOn, options: OptionValues): Record<string, readonly number[]>
}
