// Runs the kernel benchmark in headless Chromium and prints its table: node bench/kernels.mjs [--rounds 5] [--fused-only] [--programs] [--case 0]
import { parseArgs } from 'node:util'
import { openBench } from './open.mjs'

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    'fused-only': { type: 'boolean', default: false },
    programs: { type: 'boolean', default: false },
    case: { type: 'string' }
  }
})

const { page, close } = await openBench('kernels.html', 'measureCase')
try {
  const names = await page.evaluate(() => globalThis.caseNames)
  const forms = options['fused-only'] ? /** @type {const} */ (['fused']) : /** @type {const} */ (['fused', 'composed'])
  for (const [at, name] of names.entries()) {
    if (options.case !== undefined && Number(options.case) !== at) continue
    const result = await page.evaluate(
      ([index, kinds, rounds]) => globalThis.measureCase(index, kinds, rounds),
      /** @type {const} */ ([at, forms, Number(options.rounds)])
    )
    console.log(`\n${name} (${result.adapter})`)
    for (const [form, { milliseconds, jsMilliseconds, firstMilliseconds, dispatches, peakMegabytes, losses }] of Object.entries(
      result.forms
    )) {
      console.log(
        `  ${form.padEnd(9)} ${milliseconds.toFixed(0).padStart(6)} ms  JS ${jsMilliseconds.toFixed(1)} ms  first ${firstMilliseconds.toFixed(0)} ms  ` +
          `${dispatches} dispatches  peak ${peakMegabytes.toFixed(1)} MB  losses ${losses
            .slice(0, 3)
            .map((loss) => loss.toFixed(5))
            .join(' ')}`
      )
    }
    const { fused, composed } = result.forms
    if (fused && composed) console.log(`  ${(composed.milliseconds / fused.milliseconds).toFixed(1)} times faster`)
    if (options.programs) {
      for (const { program, milliseconds, dispatches } of result.programs.slice(0, 25))
        console.log(`    ${milliseconds.toFixed(2).padStart(9)} ms ${String(dispatches).padStart(4)} x ${program}`)
    }
  }
} finally {
  await close()
}
