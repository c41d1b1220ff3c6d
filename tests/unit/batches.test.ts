import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { UserError } from '../../src/engine/errors'
import { addScores, emptyScores, labelProbabilities, scoresLoss } from '../../src/engine/evaluation/scoring'
import { createTokenizer } from '../../src/engine/tokenizer/tokenizer'
import { BatchOrder, createBatch, groupByLength, lossBatches, type TokenRow } from '../../src/tasks/batches'
import { encodeContinuation, encodeExample, encodeExamples, encodeLabelWords, encodePrompt, encodeText } from '../../src/tasks/encode'
import { scoringBatches } from '../../src/tasks/scoring'
import type { ClassificationTask, GenerationTask } from '../../src/tasks/task'

const json = (path: string): unknown => JSON.parse(readFileSync(path, 'utf8'))
const ours = createTokenizer(json('public/models/tuneground-2m/tokenizer.json'), json('public/models/tuneground-2m/tokenizer_config.json'))
const llama = createTokenizer(json('tests/fixtures/golden/tokenizers/llama-bpe/tokenizer.json'), {})
const frame = { beginToken: 0, endTokens: [0] }

const base = { name: 'x', title: 'x', domain: 'x', metrics: [], licence: 'x' }
const reviews: ClassificationTask = {
  ...base,
  kind: 'classification',
  template: 'Review: {text}\nSentiment:',
  labels: [
    { name: 'up', word: ' positive' },
    { name: 'down', word: ' thoroughly disappointing' }
  ]
}
const questions: GenerationTask = { ...base, kind: 'generation', template: '{context}\nQuestion: {question}\nAnswer:', target: ' {answer}' }

describe('an encoded example', () => {
  it('is the begin token, the prompt and the answer', () => {
    const { promptIds, answerIds, label, cut } = encodeExample(reviews, { fields: { text: 'Fine.' }, label: 'up' }, ours, frame, {
      maximumLength: 64
    })
    expect(promptIds).toEqual([0, ...ours.encode('Review: Fine.\nSentiment:')])
    expect(answerIds).toEqual(ours.encode(' positive'))
    expect({ label, cut }).toEqual({ label: 0, cut: false })
  })

  it('of a generation task ends with the end token', () => {
    const fields = { context: 'It rained.', question: 'What?', answer: 'rain' }
    expect(encodeExample(questions, { fields }, ours, frame, { maximumLength: 64 }).answerIds).toEqual([...ours.encode(' rain'), 0])
    expect(encodeExample(questions, { fields }, ours, { endTokens: [] }, { maximumLength: 64 }).promptIds[0]).toBe(ours.encode('It')[0])
  })

  it('has an answer without the space that SentencePiece puts in front of every text', () => {
    expect(llama.decode([...llama.encode('Review:'), ...encodeContinuation(' good', llama)])).toBe('Review: good')
    expect(llama.decode([...llama.encode('Review:'), ...llama.encode(' good')])).toBe('Review:  good')
    expect(encodeContinuation(' good', ours)).toEqual(ours.encode(' good'))
    expect(ours.decode(encodeContinuation('\n\nx', ours))).toBe('\n\nx')
  })

  it('keeps template and answer whole when its text is cut on the left, whatever the length', () => {
    const words = Array.from({ length: 60 }, (_, i) => `word${i}`).join(' ')
    const longest = Math.max(...encodeLabelWords(reviews, ours).map((ids) => ids.length))
    fc.assert(
      fc.property(
        fc.integer({ min: 16, max: 200 }),
        fc.constantFrom(words, 'x'.repeat(300), '数字と漢字👩‍🚀'.repeat(20)),
        (maximumLength, text) => {
          const { promptIds, cut } = encodeExample(reviews, { fields: { text }, label: 'up' }, ours, frame, { maximumLength })
          expect(promptIds.length + longest).toBeLessThanOrEqual(maximumLength)
          const kept = ours.decode(promptIds, { skipSpecialTokens: true })
          expect(kept.startsWith('Review: ') && kept.endsWith('\nSentiment:')).toBe(true)
          expect(kept).not.toContain('\ufffd')
          const tail = kept.slice('Review: '.length, -'\nSentiment:'.length)
          expect(text.endsWith(tail)).toBe(true)
          expect(cut).toBe(tail !== text)
          // Nothing is wasted: one more word, or one more letter, would not have fitted.
          if (cut && tail.length > 20) expect(promptIds.length + longest).toBeGreaterThan(maximumLength - 8)
        }
      )
    )
  })

  it('is cut in its longest field first, at a word', () => {
    const fields = {
      context: Array.from({ length: 40 }, (_, i) => `part ${i}`).join(' '),
      question: 'What is the last part?',
      answer: '39'
    }
    const { promptIds, cut } = encodeExample(questions, { fields }, ours, frame, { maximumLength: 40 })
    const prompt = ours.decode(promptIds, { skipSpecialTokens: true })
    expect(cut).toBe(true)
    expect(prompt).toMatch(/^(part )?\d+ .*part 39\nQuestion: What is the last part\?\nAnswer:$/)
  })

  it('has the same prompt whatever its label', () => {
    const text = 'long '.repeat(100)
    const [up, down] = ['up', 'down'].map((label) =>
      encodeExample(reviews, { fields: { text }, label }, ours, frame, { maximumLength: 40 })
    )
    expect(up!.promptIds).toEqual(down!.promptIds)
  })

  it('is counted where it is cut', () => {
    const examples = ['short', 'long '.repeat(100), 'long '.repeat(50)].map((text) => ({ fields: { text }, label: 'up' }))
    expect(encodeExamples(reviews, examples, ours, frame, { maximumLength: 40 }).cut).toBe(2)
  })

  it('cannot be made where the template alone is too long, or nothing is there', () => {
    const encode = (text: string, maximumLength: number) =>
      encodeExample(reviews, { fields: { text }, label: 'up' }, ours, frame, { maximumLength })
    expect(() => encode('x', 8)).toThrow(UserError)
    expect(() => encode('x', 8)).toThrow(/alone take \d+ tokens, and 8 are allowed/)
    expect(() => encodePrompt({ ...reviews, template: '{text}' }, { text: '' }, 1, ours, { endTokens: [] }, { maximumLength: 8 })).toThrow(
      /empty prompt/
    )
    expect(() => encodeLabelWords({ ...reviews, labels: [{ name: 'a', word: '' }] }, ours)).toThrow(/word of label "a" is empty/)
  })

  it('of plain text predicts every token behind the first', () => {
    expect(encodeText('One two.', ours, frame, { maximumLength: 64 })).toEqual({
      promptIds: [0],
      answerIds: ours.encode('One two.'),
      cut: false
    })
    const cut = encodeText('One two three four five six', ours, frame, { maximumLength: 4 })
    expect(cut).toEqual({ promptIds: [0], answerIds: ours.encode('One two three four five six').slice(0, 3), cut: true })
  })
})

/** Rows with distinct ids, so that a misplaced token shows. */
const tokenRows = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 5 })), { minLength: 1, maxLength: 9 })
  .map((sizes) =>
    sizes.map(([prompt, answer], r): TokenRow => ({
      promptIds: Array.from({ length: prompt }, (_, i) => 1000 * (r + 1) + i),
      answerIds: Array.from({ length: answer }, (_, i) => 1000 * (r + 1) + 500 + i)
    }))
  )

describe('a batch', () => {
  it('of two rows is laid out as written here', () => {
    const batch = createBatch(
      [
        { promptIds: [5, 6, 7], answerIds: [8, 9] },
        { promptIds: [5], answerIds: [3] }
      ],
      1
    )
    expect([batch.size, batch.time]).toEqual([2, 16])
    expect([...batch.inputIds.subarray(0, 6)]).toEqual([5, 6, 7, 8, 1, 1])
    expect([...batch.inputIds.subarray(16, 19)]).toEqual([5, 1, 1])
    expect([...batch.lengths]).toEqual([4, 1])
    expect([...batch.labelRows]).toEqual([2, 3, 16])
    expect([...batch.labelIds]).toEqual([8, 9, 3])
    expect([...batch.labelWeights].map((weight) => weight * 3)).toEqual([1, 1, 1].map((weight) => Math.fround(weight / 3) * 3))
  })

  it('asks for each answer token at the position before it', () => {
    fc.assert(
      fc.property(tokenRows, (rows) => {
        const { size, time, inputIds, lengths, labelRows, labelIds, labelWeights } = createBatch(rows, 1)
        expect(time % 16).toBe(0)
        expect(time - Math.max(...lengths)).toBeLessThan(16)
        expect(inputIds.length).toBe(size * time)
        let n = 0
        rows.forEach(({ promptIds, answerIds }, r) => {
          const whole = [...promptIds, ...answerIds]
          expect([...inputIds.subarray(r * time, r * time + lengths[r]!)]).toEqual(whole.slice(0, -1))
          expect([...inputIds.subarray(r * time + lengths[r]!, (r + 1) * time)].every((id) => id === 1)).toBe(true)
          for (const id of answerIds) {
            expect(labelIds[n]).toBe(id)
            expect(whole[labelRows[n]! - r * time + 1]).toBe(id)
            n++
          }
        })
        expect(labelRows.length).toBe(n)
        expect(labelWeights.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 5)
      })
    )
  })

  it('holds rows of like length, and each row once', () => {
    fc.assert(
      fc.property(tokenRows, fc.integer({ min: 1, max: 4 }), (rows, batchSize) => {
        const groups = groupByLength(rows, batchSize)
        expect(groups.flat().sort((a, b) => a - b)).toEqual(rows.map((_, i) => i))
        const length = (i: number) => rows[i]!.promptIds.length + rows[i]!.answerIds.length
        const lengths = groups.flat().length > 0 ? groupByLength(rows, batchSize).flat().map(length) : []
        expect(lengths).toEqual([...lengths].sort((a, b) => b - a))
        expect(groups.slice(0, -1).every((group) => group.length === batchSize)).toBe(true)
        const labels = lossBatches(rows, { batchSize, padToken: 1 }).reduce((sum, batch) => sum + batch.labelIds.length, 0)
        expect(labels).toBe(rows.reduce((sum, row) => sum + row.answerIds.length, 0))
      })
    )
  })
})

describe('the order of batches', () => {
  const take = (order: BatchOrder, count: number) => Array.from({ length: count }, () => order.next())

  it('is the same for the same seed, and another for another', () => {
    expect(take(new BatchOrder(20, 4, 3), 12)).toEqual(take(new BatchOrder(20, 4, 3), 12))
    expect(take(new BatchOrder(20, 4, 3), 12)).not.toEqual(take(new BatchOrder(20, 4, 4), 12))
  })

  it('goes on from any state, through JSON, as if it had not stopped', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 30 }),
        fc.integer({ min: 1, max: 12 }),
        fc.nat(40),
        fc.nat(),
        (examples, batchSize, steps, seed) => {
          const order = new BatchOrder(examples, batchSize, seed)
          take(order, steps)
          const state = JSON.parse(JSON.stringify(order.state)) as typeof order.state
          expect(take(new BatchOrder(examples, batchSize, state), 40)).toEqual(take(order, 40))
        }
      )
    )
  })

  it('gives full batches, and no example twice in an epoch', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 1, max: 12 }), fc.nat(), (examples, batchSize, seed) => {
        const order = new BatchOrder(examples, batchSize, seed)
        const full = Math.min(batchSize, examples)
        const perEpoch = Math.floor(examples / full)
        for (let epoch = 0; epoch < 3; epoch++) {
          const batches = take(order, perEpoch)
          expect(order.state.epoch).toBe(epoch)
          expect(batches.every((batch) => batch.length === full)).toBe(true)
          expect(new Set(batches.flat()).size).toBe(perEpoch * full)
        }
      })
    )
  })

  it('leaves other examples out each time', () => {
    const order = new BatchOrder(10, 8, 1)
    const left = take(order, 30).map((batch) => [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].filter((i) => !batch.includes(i)))
    expect(new Set(left.flat()).size).toBe(10)
  })

  it('refuses no examples, and a state of other data', () => {
    expect(() => new BatchOrder(0, 4, 1)).toThrow(UserError)
    const order = new BatchOrder(10, 4, 1)
    take(order, 2)
    expect(() => new BatchOrder(7, 4, order.state)).toThrow(/had used 8 training examples, and there are now 7/)
  })
})

describe('label scores', () => {
  /** A model that knows nothing but tokens: its log-probability of `token` behind `ids` is any fixed function of both. */
  const logProbability = (ids: readonly number[], token: number) =>
    -1 - ((ids.reduce((hash, id) => (hash * 31 + id) % 997, 7) + token * 13) % 101) / 20

  const run = (prompts: { promptIds: number[] }[], words: number[][], batchSize: number) => {
    const scores = emptyScores(prompts.length, words.length)
    const batches = scoringBatches(prompts, words, { batchSize, padToken: 1 })
    for (const scoring of batches) {
      const { batch, positions, tokens } = scoring
      const values = Array.from(positions, (position, k) => {
        const row = batch.labelRows[position]!
        const begin = Math.floor(row / batch.time) * batch.time
        return logProbability([...batch.inputIds.subarray(begin, row + 1)], tokens[k]!)
      })
      addScores(scores, scoring, values)
    }
    return { scores, batches }
  }

  const word = fc.array(fc.integer({ min: 2, max: 4 }), { minLength: 1, maxLength: 4 })
  const words = fc.uniqueArray(word, { minLength: 2, maxLength: 6, selector: (ids) => ids.join() })
  const prompts = fc.array(fc.array(fc.integer({ min: 5, max: 99 }), { minLength: 1, maxLength: 20 }), { minLength: 1, maxLength: 6 })

  it('are the sums over whole words, however rows are shared and grouped', () => {
    fc.assert(
      fc.property(prompts, words, fc.integer({ min: 1, max: 5 }), (ids, candidates, batchSize) => {
        const expected = ids.map((prompt) =>
          candidates.map((tokens) => tokens.reduce((sum, token, i) => sum + logProbability([...prompt, ...tokens.slice(0, i)], token), 0))
        )
        const { scores } = run(
          ids.map((promptIds) => ({ promptIds })),
          candidates,
          batchSize
        )
        scores.forEach((row, e) => row.forEach((score, l) => expect(score).toBeCloseTo(expected[e]![l]!, 9)))
      })
    )
  })

  it('take one row an example where every word is one token', () => {
    const { batches } = run([{ promptIds: [5, 6] }, { promptIds: [7] }, { promptIds: [8] }], [[2], [3], [4]], 2)
    expect(batches.map(({ batch }) => [batch.size, [...batch.lengths], [...batch.labelRows]])).toEqual([
      [2, [2, 1], [1, 16]],
      [1, [1], [0]]
    ])
    expect([...batches[0]!.tokens]).toEqual([2, 3, 4, 2, 3, 4])
    expect([...batches[0]!.examples]).toEqual([0, 0, 0, 1, 1, 1])
  })

  it('take one more only for words that begin differently', () => {
    const rows = (candidates: number[][]) => scoringBatches([{ promptIds: [5] }], candidates, { batchSize: 64, padToken: 1 })[0]!.batch.size
    expect(rows([[2], [3, 4]])).toBe(1)
    expect(
      rows([
        [3, 2],
        [3, 4]
      ])
    ).toBe(1)
    expect(
      rows([
        [2, 4],
        [3, 4]
      ])
    ).toBe(2)
    expect(rows([[2, 4, 2], [2, 3], [2], [3, 3]])).toBe(2)
  })

  it('become probabilities, and the loss of training', () => {
    expect(
      labelProbabilities([
        [Math.log(3), 0],
        [-1000, -1000]
      ])
    ).toEqual([
      [expect.closeTo(0.75, 12), expect.closeTo(0.25, 12)],
      [0.5, 0.5]
    ])
    expect(
      scoresLoss(
        [
          [-1, -9],
          [-9, -3]
        ],
        [0, 1],
        [[2], [3, 4, 5]]
      )
    ).toBe(1)
  })
})
