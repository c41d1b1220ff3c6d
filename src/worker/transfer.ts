// Carries what was tuned out of the library and into it: folders for PEFT and Transformers, adapters from there, and runs that go on from others.
import type { DeviceReport } from '../engine/device/report'
import { UserError } from '../engine/errors'
import { exportTable, type ExportKind } from '../engine/formats/exports'
import { licenceOf, modelCard } from '../engine/formats/modelCard'
import { importPeft } from '../engine/formats/peft'
import { Random } from '../engine/random'
import { Accounts } from '../engine/training/accounts'
import { withFreshMoments } from '../engine/training/checkpoint'
import { checkRecipe } from '../engine/training/recipeProblem'
import type { RaceSettings } from '../engine/training/recipe'
import { cardOf } from '../storage/card'
import { loadCheckpoint, saveCheckpoint } from '../storage/checkpoints'
import { sourceName } from '../storage/library'
import { createRace, deleteRace, getRace } from '../storage/races'
import type { Checkpoint, CheckpointState, StoredRace, StoredRun, StoredTensors } from '../storage/records'
import { getRun } from '../storage/runs'
import { writeZip } from '../storage/zip'
import { labelCount } from '../tasks/task'
import { openBaseFolder } from './baseFolder'
import { assertTensorsFit, type Loaders } from './openedRuns'
import type { RaceRequest } from './protocol'
import { openModelFiles } from './sources/open'
import { loadTask } from './tasks'
import type { AdapterImport } from './transferCalls'

/** A zip of the run's best tensors in that form, with a README.md. Throws a `UserError` where it has none or cannot leave in that form. */
export async function exportRun(runId: string, kind: ExportKind, siteRoot: string): Promise<Blob> {
  const { run, race, checkpoint } = await storedRun(runId)
  const row = exportTable.find((candidate) => candidate.kind === kind)!
  const { parts } = run.request.recipe
  const refusal = row.refusal(parts)
  if (refusal !== undefined) throw new UserError(refusal, 'Choose another form.')
  const { model, task: taskSource } = race.request
  const { data, report } = await loadTask(taskSource, siteRoot)
  const { base, card } = await openBaseFolder(await openModelFiles(model, siteRoot, () => undefined))
  assertTensorsFit(base, data.task, run.request.recipe, checkpoint.tensors)
  const subject = {
    parts,
    tensors: checkpoint.tensors,
    base,
    baseName: model.kind === 'hub' ? model.repository : sourceName(model),
    ...(model.kind === 'hub' && { baseRevision: model.revision })
  }
  const files = await row.files(subject)
  const known = cardOf(run, race)
  const readme = modelCard({
    ...known,
    about: `${row.title} of a run of Tuneground, a playground for tuning small language models in the browser. ${row.help}`,
    base: { name: subject.baseName, licence: licenceOf(card), ...(model.kind === 'hub' && { revision: model.revision }) },
    task: {
      ...known.task,
      licence: taskSource.kind === 'file' ? undefined : licenceOf(report.card),
      template: data.task.template,
      ...(data.task.kind === 'classification' && { labels: data.task.labels })
    },
    library: kind === 'peft' ? 'peft' : 'transformers',
    load: row.load(subject)
  })
  return writeZip([{ name: 'README.md', data: new Blob([readme]), compress: true }, ...files])
}

/**
 * Stores adapters as a race of one run at step 0, to be tested or gone on from.
 * @throws UserError where an adapter is damaged, belongs to another base (naming the tensor), or there is no room; then nothing is kept
 */
export async function importAdapter(adapter: AdapterImport, device: DeviceReport, { useModel, useTask }: Loaders): Promise<RaceRequest> {
  const { adapters, name, model, task, settings, rates = {}, evaluateOnly } = adapter
  const { decoder } = await useModel(model)
  const { data } = await useTask(task)
  const imported = adapters.map((files) => importPeft(files, decoder))
  const parts = imported.map(({ recipePart: part }) => ({
    ...part,
    learningRate: rates.learningRate ?? part.learningRate,
    weightDecay: rates.weightDecay ?? part.weightDecay
  }))
  const recipe = { ...adapter.recipe, parts }
  checkRecipe(recipe, { config: decoder.config, layout: decoder.layout, labels: labelCount(data.task) })
  const tensors = Object.assign({}, ...imported.map((one) => one.tensors)) as StoredTensors
  const run = { id: crypto.randomUUID(), name, recipe, startedFrom: 'an imported PEFT adapter' }
  return storeAtStart({ id: crypto.randomUUID(), name, model, task, runs: [run], settings }, tensors, device, evaluateOnly)
}

/** Stores a new race whose run starts from the best tensors of a stored one, with a fresh optimiser. Throws a `UserError` where it has none. */
export async function tuneFurther(runId: string, settings: RaceSettings, device: DeviceReport): Promise<RaceRequest> {
  const { run, race, checkpoint } = await storedRun(runId)
  const { model, task } = race.request
  // The run that it once started from need not be there any more.
  const parts = run.request.recipe.parts.map((part) =>
    part.options.start === 'saved' ? { ...part, options: { ...part.options, start: 'random', savedRun: '' } } : part
  )
  const name = `${run.name}, further`.slice(0, 100)
  const request = { id: crypto.randomUUID(), name, recipe: { ...run.request.recipe, parts }, startedFrom: run.name }
  return storeAtStart({ id: crypto.randomUUID(), name, model, task, runs: [request], settings }, checkpoint.tensors, device, false)
}

async function storedRun(runId: string): Promise<{ run: StoredRun; race: StoredRace; checkpoint: Checkpoint }> {
  const run = await getRun(runId)
  const race = run && (await getRace(run.raceId))
  if (!run || !race) throw new UserError('This run is no longer in the library.', 'It was deleted, perhaps in another tab.')
  const checkpoint = await loadCheckpoint(runId, 'best')
  if (!checkpoint)
    throw new UserError(`${run.name} has no stored weights.`, 'Nothing of it was trained, or it was stopped before its first validation.')
  return { run, race, checkpoint }
}

/** A race of one run that stands at step 0 with these tensors; `isOver` where it takes no steps, and is only tested. */
async function storeAtStart(request: RaceRequest, tensors: StoredTensors, device: DeviceReport, isOver: boolean): Promise<RaceRequest> {
  const { id: runId, recipe } = request.runs[0]!
  const random = new Random(recipe.seed).state
  const state: CheckpointState = {
    step: 0,
    epoch: 0,
    position: 0,
    epochRandom: random,
    random,
    accounts: new Accounts().state,
    best: { step: 0, f1Macro: -1, loss: Infinity, validationsWithoutGain: 0 },
    curve: { steps: [], validation: [] },
    ...(isOver && { stopReason: 'stopped' as const })
  }
  const { backend, adapter } = device
  await createRace(request, 'paused', { backend, adapter })
  try {
    const best: Checkpoint = { runId, kind: 'best', state, tensors }
    await saveCheckpoint(best)
    await saveCheckpoint(withFreshMoments(best))
  } catch (error) {
    await deleteRace(request.id)
    throw error
  }
  return request
}
