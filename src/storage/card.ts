// What the library knows of a run for its model card, whatever form it leaves in.
import { version as application } from '../../package.json'
import type { CardSubject } from '../engine/formats/modelCard'
import { sourceName } from './library'
import type { StoredRace, StoredRun } from './records'

export function cardOf(run: StoredRun, race: StoredRace): Omit<CardSubject, 'about'> {
  const { model, task, settings } = race.request
  return {
    name: run.name,
    base: { name: sourceName(model) },
    task: { name: sourceName(task) },
    recipe: run.request.recipe,
    ...(run.request.startedFrom !== undefined && { startedFrom: run.request.startedFrom }),
    settings,
    ...(run.result && { result: run.result }),
    files: [],
    notes: [],
    versions: [
      ['Tuneground', application],
      ['Device', race.device ? `${race.device.adapter} (${race.device.backend})` : 'not known'],
      ['Made', new Date(run.createdAt).toISOString()],
      ['Changed', new Date(run.updatedAt).toISOString()]
    ]
  }
}
