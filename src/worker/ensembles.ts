// Prompt ensembles in the worker: the prompts of several runs, asked together on a split of their task.
import * as tf from '@tensorflow/tfjs'
import { UserError } from '../engine/errors'
import { evaluateEnsemble } from '../engine/evaluation/ensemble'
import { savedPromptOf } from '../engine/methods/savedPrompt'
import { getMethod } from '../engine/methods/registry'
import { nextTask } from '../engine/nextTask'
import { createRaceData } from '../tasks/raceData'
import type { EnsembleRequest, EnsembleResult } from './ensembleCalls'
import type { LoadedModel } from './models'
import type { OpenedRun } from './openedRuns'
import type { ModelSource, Progress } from './protocol'
import type { LoadedTask } from './tasks'

const PROMPT_METHODS = ['softPrompt', 'pTuning']

/**
 * Opens the runs one after the other; `open` gives a run with the model that it was learnt on.
 * @throws UserError where there are none, or they were learnt on different models or tasks
 */
export async function openMembers(
  runs: readonly string[],
  open: (run: string) => Promise<{ member: OpenedRun; model: ModelSource }>
): Promise<[OpenedRun, ...OpenedRun[]]> {
  const members: OpenedRun[] = []
  const learnt = new Set<string>()
  for (const run of runs) {
    const { member, model } = await open(run)
    members.push(member)
    learnt.add(JSON.stringify([model, member.source]))
  }
  if (learnt.size > 1)
    throw new UserError('These prompts were learnt on different models or tasks.', 'Choose runs of one model and one task.')
  const [first, ...others] = members
  if (!first) throw new UserError('No prompts are chosen.', 'Choose two or more runs.')
  return [first, ...others]
}

/**
 * Evaluates the opened runs of the request, in its order, together and alone.
 * @throws UserError where one of them is more than a soft prompt, or they belong to different tasks
 */
export async function askEnsemble(
  { runs, split: name }: EnsembleRequest,
  members: readonly OpenedRun[],
  { decoder, tokenizer }: LoadedModel,
  { data: task }: LoadedTask,
  onProgress: (progress: Progress) => void
): Promise<EnsembleResult> {
  const started = performance.now()
  const recipes = members.map(({ recipe }) => recipe)
  const saved = members.map(({ recipe, tensors }, i) => {
    const trained = recipe.parts.filter(({ method }) => getMethod(method).trains)
    const prompt = savedPromptOf(runs[i]!, tensors)
    if (prompt && trained.length === 1 && PROMPT_METHODS.includes(trained[0]!.method)) return prompt
    throw new UserError('Only soft prompts can be asked together.', 'Choose runs that tuned a soft prompt, or P-tuning, and nothing else.')
  })
  const data = createRaceData(task, tokenizer, decoder.config, recipes, [])
  const split = data[name]
  if (split.kind === 'generation') {
    throw new UserError('Prompts are asked together on tasks with labels, and this task has none.', 'Choose runs of a classification task.')
  }
  const prompts = saved.map(({ data: values, shape }) => tf.tensor2d(values, shape))
  let done = 0
  try {
    const evaluated = await evaluateEnsemble(decoder, split, prompts, async () => {
      onProgress({ stage: 'Asking the prompts', loaded: ++done, total: split.batches.length, unit: 'items' })
      await nextTask()
    })
    return {
      labels: [...data.labels],
      ...evaluated,
      members: evaluated.members.map((metrics, i) => ({ run: runs[i]!, metrics })),
      seconds: (performance.now() - started) / 1000
    }
  } finally {
    tf.dispose(prompts)
  }
}
