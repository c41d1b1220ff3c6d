// A split of a task whose answers are written, encoded for scoring and for answering.
import type { GenerationSplit } from '../engine/evaluation/evaluateGeneration'
import { passagesPerBatch } from '../engine/evaluation/forgetting'
import type { DecoderConfig } from '../engine/model/config'
import type { Tokenizer } from '../engine/tokenizer/tokenizer'
import { groupByLength, lossBatches } from './batches'
import type { EncodedExample } from './encode'
import { EVALUATION_BATCH_SIZE } from './scoring'
import type { Example, GenerationTask } from './task'
import { renderAnswer, renderPrompt } from './template'

/** Examples of a split that the model answers itself: enough that F1 is known to about 0.1, and few enough for seconds on WebAssembly. */
const ANSWERED_EXAMPLES = 64

/** @param maximumTokens of the longest wanted answer of the task, its end token included */
export function generationSplit(
  task: GenerationTask,
  examples: readonly Example[],
  encoded: readonly EncodedExample[],
  maximumTokens: number,
  tokenizer: Tokenizer,
  { vocabularySize, padToken, endTokens }: DecoderConfig
): GenerationSplit {
  const batchSize = Math.min(EVALUATION_BATCH_SIZE, passagesPerBatch(vocabularySize, maximumTokens))
  const answered = encoded.slice(0, ANSWERED_EXAMPLES)
  return {
    kind: 'generation',
    texts: examples.map((example) => renderPrompt(task, example)),
    targets: examples.map((example) => renderAnswer(task, example).trim()),
    batches: lossBatches(encoded, { batchSize, padToken }),
    prompts: answered.map(({ promptIds }) => promptIds),
    groups: groupByLength(
      answered.map(({ promptIds }) => ({ promptIds, answerIds: [padToken] })),
      EVALUATION_BATCH_SIZE
    ),
    maximumTokens,
    stopTokens: endTokens,
    decode: (ids) => tokenizer.decode(ids, { skipSpecialTokens: true })
  }
}
