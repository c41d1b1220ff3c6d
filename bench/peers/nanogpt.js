// @genai-fi/nanogpt as a contestant: its transformer of the same width, depth, heads and vocabulary, by the step of its own trainer.
import { models, TeachableLLM } from '@genai-fi/nanogpt'

/** Its MLP has two matrices where a Llama has three: a factor of 4 gives as many weights as a SwiGLU of 2.75 times the width. */
const MLP_FACTOR = 4

/** @returns {Promise<import('../types').Contestant>} */
export async function nanoGpt() {
  await TeachableLLM.selectBackend('webgpu')
  const opened = []
  return {
    async open({ shape, batch, time }) {
      const model = new models.NanoGPTV1({
        modelType: 'GenAI_NanoGPT_v1',
        vocabSize: shape.vocabulary,
        blockSize: time,
        nLayer: shape.layers,
        nHead: shape.heads,
        nEmbed: shape.hidden,
        mlpFactor: MLP_FACTOR,
        useRope: true
      })
      // The trainer reads no text here, so this is all that it asks of a tokeniser.
      const tokeniser = { id: 'bench', vocabSize: shape.vocabulary, eosToken: 0, bosToken: 0, trained: true }
      const language = new TeachableLLM(tokeniser, model)
      const tokens = Uint16Array.from({ length: 64 * batch * time }, (_, at) => (at * 7919 + 13) % shape.vocabulary)
      const job = await language.training.job(
        { method: { type: 'pretraining' }, batchSize: batch, clipNorm: 1 },
        [tokens],
        [{ id: 'bench', name: 'bench' }]
      )
      // Its loop is stopped and its step called by hand, so that the contestants can take turns.
      job.trainer.stop()
      const ended = new Promise((resolve) => {
        language.training.on('completed', resolve)
        language.training.on('error', (_, error) => console.error(error) ?? resolve(undefined))
      })
      await ended
      const { value } = await (await job.trainDataset.iterator()).next()
      return opened.push({ model, job, batch: value }) - 1
    },
    async step(id) {
      const { job, batch } = opened[id]
      const started = performance.now()
      const loss = job.trainer.trainStep({}, batch)
      const jsMilliseconds = performance.now() - started
      const [value] = await loss.data()
      const milliseconds = performance.now() - started
      loss.dispose()
      return { milliseconds, jsMilliseconds, loss: value }
    },
    close(id) {
      const { model, job, batch } = opened[id]
      batch.xs.dispose()
      batch.ys.dispose()
      job.trainer.dispose()
      model.dispose()
      opened[id] = undefined
    }
  }
}
