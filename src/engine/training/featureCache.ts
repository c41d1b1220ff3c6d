// What a label head reads of the training and the validation examples, kept while nothing else is trained.
import { evaluate, type Split } from '../evaluation/evaluate'
import { readFeatures, type Features } from '../evaluation/features'
import type { LabelEvaluation } from '../evaluation/taskEvaluation'
import type { Decoder } from '../model/decoder'
import type { RaceData } from './data'
import type { Trainer } from './trainer'

export class FeatureCache {
  #training: Features | undefined
  #validation: Features | undefined

  /** Of the training examples; undefined where whole passes are made. */
  get training(): Features | undefined {
    return this.#training
  }

  /** To be called before each step: reads the training examples where that is still to be done, and forgets everything where the step changes it. */
  async prepare(trainer: Trainer, data: RaceData, between: () => Promise<void>): Promise<void> {
    if (trainer.readsFeatures) {
      this.#training ??= await trainer.readFeatures(data.training(), between)
      return
    }
    this.#training = undefined
    this.#validation = undefined
  }

  /** How the trainer's label head answers, while nothing but that is trained. Throws a `NotFiniteError` where it gives no finite answers. */
  async validate(decoder: Decoder, trainer: Trainer, split: Split, between: () => Promise<void>): Promise<LabelEvaluation> {
    const adaptation = trainer.adaptation()
    let milliseconds = 0
    if (!this.#validation) {
      this.#validation = await readFeatures(decoder, split, adaptation, between)
      milliseconds = this.#validation.milliseconds
    }
    const evaluation = await evaluate(decoder, split, adaptation, between, this.#validation)
    return { ...evaluation, kind: 'classification', milliseconds: milliseconds + evaluation.milliseconds }
  }
}
