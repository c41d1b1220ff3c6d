// Which linear layers an adapter goes to: presets by role, and names as PEFT reads them.
import { layerProjections, type DecoderLayout, type LayerLayout, type Projection } from '../model/layout'

/** What a preset takes of one layer. A fused query, key and value is taken whole, as PEFT does. */
const presets: Record<string, (layer: LayerLayout) => Projection[]> = {
  queryValue: ({ attention }) => (attention.kind === 'fused' ? [attention.projection] : [attention.query, attention.value]),
  attention: ({ attention, output }) => [
    ...(attention.kind === 'fused' ? [attention.projection] : [attention.query, attention.key, attention.value]),
    output
  ],
  linear: layerProjections
}

export const presetNames: readonly string[] = Object.keys(presets)

/**
 * The linear layers that a preset takes, in the order of the forward pass; with `named` those that `modules` names, between commas:
 * a whole module name or its last parts, where `*` stands for anything.
 */
export function targetProjections(layout: DecoderLayout, targets: string, modules = ''): Projection[] {
  const preset = presets[targets]
  if (preset) return layout.layers.flatMap(preset)
  const patterns = modules.split(',').flatMap((name) => (name.trim() ? [patternOf(name.trim())] : []))
  return layout.layers.flatMap(layerProjections).filter(({ path }) => patterns.some((pattern) => pattern.test(path)))
}

/** The shortest module names that mean these linear layers and no others. */
export function moduleNames(layout: DecoderLayout, paths: readonly string[]): string[] {
  const others = layout.layers
    .flatMap(layerProjections)
    .map(({ path }) => path)
    .filter((path) => !paths.includes(path))
  const names = paths.map((path) => {
    const parts = path.split('.')
    const suffixes = parts.map((_, i) => parts.slice(parts.length - 1 - i).join('.'))
    return suffixes.find((suffix) => !others.some((other) => patternOf(suffix).test(other))) ?? path
  })
  return [...new Set(names)]
}

function patternOf(name: string): RegExp {
  const escaped = name.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*')
  return new RegExp(`^(.*\\.)?${escaped}$`)
}
