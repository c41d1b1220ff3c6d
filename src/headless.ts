// One run without hands, for `npm run tune`: the page's engine and storage behind one call, with plain data in and out.
import { connectEngine } from './client/client'
import { describeError, UserError } from './engine/errors'
import { Log } from './headless/log'
import { exportKind, raceOf, type HeadlessRequest } from './headless/request'
import { scores, type HeadlessAnswer, type HeadlessResult } from './headless/result'

declare global {
  interface Window {
    tuneground: { tune(request: HeadlessRequest): Promise<HeadlessAnswer> }
    /** Given by the command line: shows one line. */
    reportProgress(line: string): void
  }
}

function download(zip: Blob): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(zip)
  link.download = 'export.zip'
  link.click()
}

async function tune(request: HeadlessRequest): Promise<HeadlessResult> {
  const engine = connectEngine()
  try {
    const device = await engine.start({ prefer: request.backend, siteRoot: new URL('./', location.href).href })
    window.reportProgress(`device: ${device.backend}, ${device.adapter}`)
    await engine.setMemoryBudget(request.memoryBytes)
    const { precision } = request
    const source = { kind: 'site' as const, path: request.modelPath, ...(precision && { precision }) }
    const { card: _card, source: _source, ...model } = await engine.loadModel(source, () => undefined)
    const { task, counts, notes } = await engine.loadTask(request.task)
    window.reportProgress(
      `${model.id}: ${model.parameters} parameters; ${task.name}: ${counts.train} / ${counts.validation} / ${counts.test} examples`
    )
    for (const note of notes) window.reportProgress(note)

    const race = await raceOf(engine, request, source, task.name)
    const run = race.runs[0]!
    const kind = request.exportAs && exportKind(run.recipe.parts, request.exportAs)
    const log = new Log(request.settings)
    await engine.race(race, (event) => log.receive(event))
    if (log.problem && !log.result) throw new UserError(log.problem.message, log.problem.advice)
    if (!log.result) throw new UserError('The run ended without a result.', 'Run the command again; report it where it happens twice.')
    if (kind) download(await engine.exportRun(run.id, kind))
    const { forgetting, cost, stopReason, bestStep } = log.result
    return {
      ...scores(log.result),
      forgetting,
      cost,
      stopReason,
      bestStep,
      curve: log.curve,
      recipe: run.recipe,
      settings: request.settings,
      model,
      task: { name: task.name, counts, notes },
      device
    }
  } finally {
    engine.close()
  }
}

window.tuneground = {
  tune: (request) =>
    tune(request).then(
      (result) => ({ result }),
      (error: unknown) => ({ problem: describeError(error) })
    )
}
