// The models and tasks that come with the site, as the chooser shows them before anything is loaded.
import type { Task } from '../tasks/task'
import type { TaskSource } from '../worker/protocol'

export interface SiteModel {
  /** Short name used in links. */
  id: string
  path: string
  title: string
  /** As the chooser has room for. */
  shortTitle: string
  parameters: number
  /** Bytes of all its files. */
  bytes: number
}

export interface SiteTask {
  id: string
  kind: Task['kind']
  path: string
  title: string
  question: string
}

export const siteModels: readonly SiteModel[] = [
  {
    id: 'tuneground-2m',
    path: 'models/tuneground-2m',
    title: 'Tuneground 2M',
    shortTitle: '2M, 4 MB',
    parameters: 1_901_696,
    bytes: 4_358_583
  },
  {
    id: 'tuneground-7m',
    path: 'models/tuneground-7m',
    title: 'Tuneground 7M',
    shortTitle: '7M, 14 MB',
    parameters: 6_917_376,
    bytes: 14_391_912
  }
]

export const siteTasks: readonly SiteTask[] = [
  {
    id: 'reviews',
    kind: 'classification',
    path: 'tasks/reviews',
    title: 'Reviews',
    question: 'Praise or complaint?'
  },
  {
    id: 'headlines',
    kind: 'classification',
    path: 'tasks/headlines',
    title: 'Headlines',
    question: 'Good news for the company?'
  },
  {
    id: 'symptoms',
    kind: 'classification',
    path: 'tasks/symptoms',
    title: 'Symptoms',
    question: 'Which clinic reads the note first?'
  },
  {
    id: 'subjects',
    kind: 'classification',
    path: 'tasks/subjects',
    title: 'Subjects',
    question: 'What is the learner asking about?'
  },
  {
    id: 'support',
    kind: 'classification',
    path: 'tasks/support',
    title: 'Support',
    question: 'What does the customer want?'
  },
  {
    id: 'questions',
    kind: 'generation',
    path: 'tasks/questions',
    title: 'Questions',
    question: 'Find the answer in the passage'
  },
  {
    id: 'slogans',
    kind: 'generation',
    path: 'tasks/slogans',
    title: 'Slogans',
    question: 'Write in the house voice'
  }
]

/** Of tasks that are not the site's, labels are named. */
export const taskKind = (source: TaskSource): Task['kind'] =>
  siteTasks.find(({ path }) => source.kind === 'site' && source.path === path)?.kind ?? 'classification'
