// Everything that the comparison shows of a run: one row a number, in the order of the page.
import { bytes, change, count, fixed, seconds, shortCount } from '../../format'
import type { ClassificationResult, Cost, GenerationResult, RunResult } from '../training/records'

export interface MetricRow {
  id: string
  title: string
  /** Of which tasks a run has it; undefined of all. */
  kind?: RunResult['kind']
  /** One sentence for someone who meets the word for the first time. */
  explanation: string
  /** How it is computed, where the sentence alone would leave that open. */
  formula?: string
  /** What tuning brings, what it takes, and what it breaks. */
  group: 'Gain' | 'Cost' | 'Harm'
  better: 'higher' | 'lower' | 'none'
  /** True for the few that the page shows at first. */
  short: boolean
  /** Null where there is no such number: an area under the curve of one class, the training cost of a run that trains nothing. */
  value(result: RunResult): number | null
  format(value: number): string
}

type Row<Result = RunResult> = Omit<MetricRow, 'kind' | 'group' | 'short' | 'value'> & {
  short?: boolean
  value(result: Result): number | null
}

const labelGains: Row<ClassificationResult>[] = [
  {
    id: 'accuracy',
    title: 'Accuracy',
    explanation: 'The share of test examples that the model answers rightly.',
    better: 'higher',
    short: true,
    value: ({ test }) => test.accuracy,
    format: fixed
  },
  {
    id: 'gain',
    title: 'Gain over untrained',
    explanation: 'How much accuracy tuning added to what the same model had before it.',
    better: 'higher',
    value: ({ test, untrained }) => test.accuracy - untrained.accuracy,
    format: change
  },
  {
    id: 'untrainedAccuracy',
    title: 'Accuracy untrained',
    explanation: 'The share of test examples that the same model answers rightly before any tuning.',
    better: 'none',
    value: ({ untrained }) => untrained.accuracy,
    format: fixed
  },
  {
    id: 'balancedAccuracy',
    title: 'Balanced accuracy',
    explanation: 'Accuracy where every label counts the same, however many examples it has.',
    better: 'higher',
    value: ({ test }) => test.balancedAccuracy,
    format: fixed
  },
  {
    id: 'f1Macro',
    title: 'F1, macro',
    explanation:
      'Precision and recall in one number, taken for each label and then averaged, so that a rare label counts as much as a common one.',
    better: 'higher',
    short: true,
    value: ({ test }) => test.macro.f1,
    format: fixed
  },
  {
    id: 'precisionMacro',
    title: 'Precision, macro',
    explanation: 'Of the answers that name a label, the share that is right, averaged over the labels.',
    better: 'higher',
    value: ({ test }) => test.macro.precision,
    format: fixed
  },
  {
    id: 'recallMacro',
    title: 'Recall, macro',
    explanation: 'Of the examples that have a label, the share that is found, averaged over the labels.',
    better: 'higher',
    value: ({ test }) => test.macro.recall,
    format: fixed
  },
  {
    id: 'f1Weighted',
    title: 'F1, weighted',
    explanation: 'Precision and recall in one number, averaged over the labels by how many examples each has.',
    better: 'higher',
    value: ({ test }) => test.weighted.f1,
    format: fixed
  },
  {
    id: 'precisionWeighted',
    title: 'Precision, weighted',
    explanation: 'Of the answers that name a label, the share that is right, averaged by how many examples each label has.',
    better: 'higher',
    value: ({ test }) => test.weighted.precision,
    format: fixed
  },
  {
    id: 'recallWeighted',
    title: 'Recall, weighted',
    explanation: 'The share of each label that is found, averaged by how many examples it has, which is the accuracy again.',
    better: 'higher',
    value: ({ test }) => test.weighted.recall,
    format: fixed
  },
  {
    id: 'f1Micro',
    title: 'F1, micro',
    explanation: 'Precision and recall over all answers together, which for one label an example are both the accuracy.',
    better: 'higher',
    value: ({ test }) => test.micro.f1,
    format: fixed
  },
  {
    id: 'precisionMicro',
    title: 'Precision, micro',
    explanation: 'The share of all answers that is right: the accuracy, where every example has one label.',
    better: 'higher',
    value: ({ test }) => test.micro.precision,
    format: fixed
  },
  {
    id: 'recallMicro',
    title: 'Recall, micro',
    explanation: 'The share of all examples that is found: the accuracy, where every example has one label.',
    better: 'higher',
    value: ({ test }) => test.micro.recall,
    format: fixed
  },
  {
    id: 'rocAuc',
    title: 'ROC-AUC',
    explanation:
      'How often the model gives a label more probability on an example that has it than on one that has not: 0.5 is guessing, 1 is always.',
    better: 'higher',
    short: true,
    value: ({ test }) => test.rocAuc,
    format: fixed
  },
  {
    id: 'matthews',
    title: 'Matthews correlation',
    explanation:
      'How closely answers follow the labels: 1 is always right, 0 is no better than guessing, and common labels do not flatter it.',
    better: 'higher',
    value: ({ test }) => test.matthews,
    format: fixed
  },
  {
    id: 'logLoss',
    title: 'Log loss',
    explanation: 'How surprised the model is by the right labels, in nats: being surely wrong costs most.',
    better: 'lower',
    short: true,
    value: ({ test }) => test.logLoss,
    format: fixed
  },
  {
    id: 'calibrationError',
    title: 'Calibration error',
    explanation: 'How far the model’s confidence is from how often it is right: at 0, answers given with 80 % are right 80 times in 100.',
    better: 'lower',
    short: true,
    value: ({ test }) => test.calibrationError,
    format: fixed
  }
]

const writtenGains: Row<GenerationResult>[] = [
  {
    id: 'perplexity',
    title: 'Perplexity',
    explanation:
      'Among how many equally likely tokens the model seems to choose at each token of the wanted answers: 1 would be to know them.',
    formula: 'exp(−mean of ln p(token)), over the tokens of all wanted answers, ends included.',
    better: 'lower',
    short: true,
    value: ({ test }) => test.perplexity,
    format: fixed
  },
  {
    id: 'untrainedPerplexity',
    title: 'Perplexity untrained',
    explanation: 'The perplexity of the same model before any tuning.',
    better: 'none',
    value: ({ untrained }) => untrained.perplexity,
    format: fixed
  },
  {
    id: 'tokenF1',
    title: 'Token F1',
    explanation: 'How many words the written and the wanted answer share, in any order, averaged over the examples that were answered.',
    formula: '2PR / (P + R), with P = shared words / words written and R = shared words / words wanted, without articles and punctuation.',
    better: 'higher',
    short: true,
    value: ({ test }) => test.tokenF1,
    format: fixed
  },
  {
    id: 'tokenF1Gain',
    title: 'Token F1 gained',
    explanation: 'How much token F1 tuning added to what the same model had before it.',
    better: 'higher',
    value: ({ test, untrained }) => (test.tokenF1 === null || untrained.tokenF1 === null ? null : test.tokenF1 - untrained.tokenF1),
    format: change
  },
  {
    id: 'exactMatch',
    title: 'Exact match',
    explanation: 'The share of answers that are the wanted one word for word, but for capitals, articles and punctuation.',
    formula: 'Answers whose words equal the wanted ones / answers.',
    better: 'higher',
    short: true,
    value: ({ test }) => test.exactMatch,
    format: fixed
  },
  {
    id: 'rougeL',
    title: 'ROUGE-L',
    explanation:
      'How much of the wanted answer was written in the right order, gaps allowed, averaged over the examples that were answered.',
    formula: '2PR / (P + R), with P = L / words written, R = L / words wanted and L the length of their longest common subsequence.',
    better: 'higher',
    short: true,
    value: ({ test }) => test.rougeL,
    format: fixed
  },
  {
    id: 'answersWritten',
    title: 'Answers written',
    explanation: 'How many test examples, the first ones, the model answered in words of its own.',
    better: 'none',
    value: ({ test }) => test.generated,
    format: count
  }
]

/** A cost of training, which a run without training does not have. */
const trained = (read: (cost: Cost) => number | null) => (result: RunResult) =>
  result.cost.trainableParameters > 0 ? read(result.cost) : null

const costs: Row[] = [
  {
    id: 'trainableParameters',
    title: 'Numbers trained',
    explanation: 'How many of the model’s numbers, or of those put beside it, tuning may change.',
    better: 'lower',
    short: true,
    value: trained((cost) => cost.trainableParameters),
    format: count
  },
  {
    id: 'adapterBytes',
    title: 'Adapter size',
    explanation: 'The size of the file that has to be kept, or sent, for the tuned model beside the base.',
    better: 'lower',
    short: true,
    value: trained((cost) => cost.adapterBytes),
    format: bytes
  },
  {
    id: 'seconds',
    title: 'Training time',
    explanation: 'The time that the training steps took, which is what a race charges.',
    better: 'lower',
    short: true,
    value: trained((cost) => cost.seconds),
    format: seconds
  },
  {
    id: 'peakBytes',
    title: 'Peak memory',
    explanation: 'The most memory that training took at one time, beyond the loaded base.',
    better: 'lower',
    value: trained((cost) => cost.peakBytes),
    format: bytes
  },
  {
    id: 'tokensPerSecond',
    title: 'Speed',
    explanation: 'Tokens, which are pieces of words, that were trained on in each second.',
    better: 'higher',
    value: trained(({ tokens, seconds: time }) => (time > 0 ? tokens / time : null)),
    format: (value) => `${shortCount(value)} tokens/s`
  },
  {
    id: 'steps',
    title: 'Steps',
    explanation: 'How many times the trained numbers were changed, each time after one batch of examples.',
    better: 'none',
    value: trained((cost) => cost.steps),
    format: count
  },
  {
    id: 'bestStep',
    title: 'Best step',
    explanation:
      'The step whose model is compared here: the latest whose F1 on the validation examples is as high as the highest, give or take chance; where answers are written, the one with the lowest validation loss.',
    better: 'none',
    value: (result) => (result.cost.trainableParameters > 0 ? result.bestStep : null),
    format: count
  },
  {
    id: 'compileSeconds',
    title: 'Preparing',
    explanation: 'The time that the device took to get its programs ready, which is not charged.',
    better: 'none',
    value: trained((cost) => cost.compileSeconds),
    format: seconds
  },
  {
    id: 'evaluationSeconds',
    title: 'Evaluating',
    explanation: 'The time that scoring the validation and test examples took, which is not charged.',
    better: 'none',
    value: ({ cost }) => cost.evaluationSeconds,
    format: seconds
  }
]

const harms: Row[] = [
  {
    id: 'forgotten',
    title: 'Forgotten',
    explanation: 'How much worse the tuned model predicts general English than before, in nats a token: 0 is nothing forgotten.',
    better: 'lower',
    short: true,
    value: ({ forgetting }) => forgetting.after - forgetting.before,
    format: change
  },
  {
    id: 'forgottenAdapterOff',
    title: 'Forgotten, adapter off',
    explanation: 'The same after the tuned part is taken off again: 0 where the base itself was left as it is.',
    better: 'lower',
    value: ({ forgetting }) => forgetting.adapterOff - forgetting.before,
    format: change
  }
]

const grouped = (group: MetricRow['group'], rows: Row[]): MetricRow[] => rows.map((row) => ({ short: false, ...row, group }))

/** Rows of one kind of task, which have no value in a result of another. */
function ofKind<Kind extends RunResult['kind']>(kind: Kind, rows: Row<Extract<RunResult, { kind: Kind }>>[]): MetricRow[] {
  const isOfKind = (result: RunResult): result is Extract<RunResult, { kind: Kind }> => result.kind === kind
  return grouped(
    'Gain',
    rows.map((row) => ({ ...row, value: (result) => (isOfKind(result) ? row.value(result) : null) }))
  ).map((row) => ({ ...row, kind }))
}

export const metricTable: readonly MetricRow[] = [
  ...ofKind('classification', labelGains),
  ...ofKind('generation', writtenGains),
  ...grouped('Cost', costs),
  ...grouped('Harm', harms)
]

/** The rows that a run of such a task has. */
export const metricsOf = (kind: RunResult['kind']): MetricRow[] => metricTable.filter((row) => row.kind === undefined || row.kind === kind)
