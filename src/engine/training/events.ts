// What a race is asked for and what it tells while it goes on: plain data.
import type { Recipe } from './recipe'
import type { ReptileSettings } from './reptile'
import type { RunResult, StepRecord, StopReason, ValidationRecord } from './records'

export interface RunRequest {
  id: string
  name: string
  recipe: Recipe
  /** What its first tensors were, for people, where the recipe's methods did not make them: another run, an adapter. */
  startedFrom?: string
  /** How its prompt was meta-learned; absent where the run was tuned on the race's task. */
  metaLearned?: MetaLearned
}

export interface MetaLearned extends ReptileSettings {
  /** By title. */
  tasks: string[]
}

export type RacePhase = 'preparing' | 'running' | 'paused' | 'evaluating' | 'finished' | 'failed'

/** Pushed while a race goes on, in order. */
export type RaceEvent =
  | { type: 'phase'; phase: RacePhase; detail: string }
  /** `accuracy` where there are labels. */
  | { type: 'untrained'; run: string; accuracy?: number; validationLoss: number }
  | { type: 'step'; run: string; record: StepRecord }
  | { type: 'validation'; run: string; record: ValidationRecord }
  | { type: 'cost'; run: string; trainableParameters: number; adapterBytes: number; peakBytes: number }
  /** Bytes that the race, and each run beside the base that all share, are expected to need at most; told before the start. */
  | { type: 'estimate'; raceBytes: number; runs: Record<string, number> }
  /** Bytes on the device now, and at most since the race began; told at most once a second. */
  | { type: 'memory'; bytes: number; peakBytes: number }
  | { type: 'run-stopped'; run: string; reason: StopReason; bestStep: number }
  | { type: 'result'; run: string; result: RunResult }
  | { type: 'checkpoint'; run: string; step: number; bytes: number }
  | { type: 'time-left'; seconds: number }
  | { type: 'problem'; run?: string; message: string; advice: string }

/** `step` lets every run that is not done make one step, and pauses. */
export type RaceCommand = 'pause' | 'resume' | 'step' | 'stop'
