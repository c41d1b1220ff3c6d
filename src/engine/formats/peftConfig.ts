// adapter_config.json of PEFT 0.21: what it writes for each kind of adapter where nothing else was chosen.

export type PeftType = 'PROMPT_TUNING' | 'P_TUNING' | 'PREFIX_TUNING' | 'LORA' | 'IA3'
export type PeftConfig = Record<string, unknown>

const everyAdapter = {
  auto_mapping: null,
  base_model_name_or_path: null,
  inference_mode: true,
  modules_to_save: null,
  peft_version: '0.21.0',
  revision: null,
  task_type: 'CAUSAL_LM'
}

const everyPrompt = { num_transformer_submodules: 1 }

const defaults: Record<PeftType, PeftConfig> = {
  PROMPT_TUNING: {
    ...everyPrompt,
    prompt_tuning_init: 'RANDOM',
    prompt_tuning_init_text: null,
    tokenizer_kwargs: null,
    tokenizer_name_or_path: null
  },
  P_TUNING: { ...everyPrompt, encoder_dropout: 0, encoder_num_layers: 2, encoder_reparameterization_type: 'MLP' },
  PREFIX_TUNING: { ...everyPrompt, init_weights: null, prefix_projection: false },
  LORA: {
    alora_invocation_tokens: null,
    alpha_pattern: {},
    arrow_config: null,
    bias: 'none',
    corda_config: null,
    ensure_weight_tying: false,
    eva_config: null,
    exclude_modules: null,
    fan_in_fan_out: false,
    init_lora_weights: true,
    kasa_config: null,
    layer_replication: null,
    layers_pattern: null,
    layers_to_transform: null,
    loftq_config: {},
    lora_bias: false,
    lora_dropout: 0,
    lora_ga_config: null,
    megatron_config: null,
    megatron_core: 'megatron.core',
    monteclora_config: null,
    qalora_group_size: 16,
    rank_pattern: {},
    target_parameters: null,
    trainable_token_indices: null,
    use_bdlora: null,
    use_dora: false,
    use_qalora: false,
    use_rslora: false,
    velora_config: null
  },
  IA3: { exclude_modules: null, fan_in_fan_out: false, init_ia3_weights: true }
}

/** The whole file as PEFT writes it: keys sorted, two spaces a level. */
export function writePeftConfig(type: PeftType, chosen: PeftConfig): Uint8Array<ArrayBuffer> {
  const config = { ...everyAdapter, ...defaults[type], ...chosen, peft_type: type }
  const sorted = Object.fromEntries(Object.entries(config).sort(([a], [b]) => (a < b ? -1 : 1)))
  return new TextEncoder().encode(JSON.stringify(sorted, null, 2))
}

/** Options of LoRA that change what it computes, and that the engine does not compute. They must be empty or off. */
export const unsupportedLora = [
  'alora_invocation_tokens',
  'alpha_pattern',
  'arrow_config',
  'kasa_config',
  'layer_replication',
  'lora_bias',
  'monteclora_config',
  'rank_pattern',
  'target_parameters',
  'trainable_token_indices',
  'use_bdlora',
  'use_dora',
  'use_qalora',
  'velora_config'
] as const
