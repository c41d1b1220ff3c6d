// The cards of everything that comes with the site, and how to read one.
import { UserError } from '../engine/errors'
import { siteModels, siteTasks } from './catalogue'

export interface Card {
  title: string
  /** What it is for, in a few words. */
  purpose: string
  /** Folder of the site that holds its README.md. */
  path: string
}

/** What no race offers: the prose on which forgetting is measured. */
const generalProse: Card = { title: 'General prose', purpose: 'What the model may forget is measured here', path: 'tasks/general' }

export const cards: readonly Card[] = [
  ...siteModels.map(({ title, path }) => ({ title, purpose: 'Model', path })),
  ...siteTasks.map(({ title, question, path }) => ({ title, purpose: question, path })),
  generalProse
]

/** A card's text in Markdown. Throws a `UserError` where it cannot be read. */
export async function fetchCard({ title, path }: Card): Promise<string> {
  const response = await fetch(`${path}/README.md`).catch(() => undefined)
  if (response?.ok) return response.text()
  throw new UserError(`The card of ${title} could not be read.`, 'Check the connection and try again.')
}
