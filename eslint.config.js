// Lint: strict TypeScript, Svelte, and the floors of the house (imports run one way: app, client, worker, engine, kernels).
import js from '@eslint/js'
import { defineConfig, globalIgnores } from 'eslint/config'
import svelte from 'eslint-plugin-svelte'
import globals from 'globals'
import ts from 'typescript-eslint'
import svelteConfig from './svelte.config.js'

const PAGE_LIBRARIES = ['svelte', 'bits-ui', 'uplot', 'marked']
const DOOR_LIBRARIES = ['comlink', 'idb-keyval', 'papaparse', 'fflate', 'workbox-window', 'virtual:pwa-register']

/**
 * What each folder must not import. `types` may still be imported with `import type`.
 * @type {{ folder: string, floors?: string[], types?: string[], packages?: string[], because: string }[]}
 */
const FLOORS = [
  {
    folder: 'src/engine',
    floors: ['app', 'state', 'client', 'worker', 'storage', 'tasks'],
    packages: [...PAGE_LIBRARIES, ...DOOR_LIBRARIES],
    because: 'the engine knows no page, no worker and no storage, and also runs in Node'
  },
  {
    folder: 'src/engine/kernels',
    floors: ['app', 'state', 'client', 'worker', 'storage', 'tasks', 'model', 'methods', 'training', 'evaluation', 'tokenizer', 'formats'],
    packages: [...PAGE_LIBRARIES, ...DOOR_LIBRARIES],
    because: 'kernels know tensors alone'
  },
  {
    folder: 'src/storage',
    floors: ['app', 'state', 'client'],
    types: ['worker'],
    packages: PAGE_LIBRARIES,
    because: 'storage serves the page and the worker alike'
  },
  {
    folder: 'src/tasks',
    floors: ['app', 'state', 'client', 'worker', 'storage'],
    packages: PAGE_LIBRARIES,
    because: 'tasks are pure functions for the page and the worker alike'
  },
  {
    folder: 'src/worker',
    floors: ['app', 'state', 'client'],
    packages: PAGE_LIBRARIES,
    because: 'the worker knows no page'
  },
  {
    folder: 'src/client',
    floors: ['app', 'state'],
    packages: PAGE_LIBRARIES,
    because: 'the client is the door, not the page'
  },
  {
    folder: 'src/{app,state}',
    types: ['worker'],
    packages: ['comlink'],
    because: 'only src/client opens the worker'
  }
]

/** @type {import('eslint').Linter.Config[]} */
const floors = FLOORS.map(({ folder, floors = [], types = [], packages = [], because }) => ({
  files: [`${folder}/**/*.{ts,svelte}`],
  rules: {
    '@typescript-eslint/no-restricted-imports': [
      'error',
      {
        patterns: [
          ...(floors.length > 0 ? [{ regex: `^\\.{1,2}/(.*/)?(${floors.join('|')})/`, message: `Not in ${folder}: ${because}.` }] : []),
          ...(types.length > 0
            ? [
                {
                  regex: `^\\.{1,2}/(.*/)?(${types.join('|')})/`,
                  allowTypeImports: true,
                  message: `Types only in ${folder}: ${because}.`
                }
              ]
            : []),
          ...(packages.length > 0 ? [{ regex: `^(${packages.join('|')})(/|$)`, message: `Not in ${folder}: ${because}.` }] : [])
        ]
      }
    ]
  }
}))

export default defineConfig(
  globalIgnores(['dist/', 'public/', 'bench/node_modules/', 'test-results/', 'tests/fixtures/']),
  js.configs.recommended,
  ts.configs.recommendedTypeChecked,
  svelte.configs.recommended,
  svelte.configs.prettier,
  {
    languageOptions: {
      globals: { ...globals.browser, ...globals.node },
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname, extraFileExtensions: ['.svelte'] }
    },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      'no-console': 'error',
      eqeqeq: ['error', 'always', { null: 'ignore' }],
      '@typescript-eslint/ban-ts-comment': ['error', { 'ts-ignore': true, 'ts-expect-error': true, 'ts-nocheck': true, 'ts-check': true }],
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'separate-type-imports' }],
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_', ignoreRestSiblings: true }],
      // TensorFlow.js returns `Tensor` where a rank is known; a cast is how that is said.
      '@typescript-eslint/no-unnecessary-type-assertion': 'off',
      // Methods, adaptations and engines are plain objects of functions.
      '@typescript-eslint/unbound-method': 'off',
      // An interface may promise a promise where one implementation has nothing to wait for.
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }]
    }
  },
  {
    files: ['**/*.svelte', '**/*.svelte.ts'],
    languageOptions: { parserOptions: { parser: ts.parser, svelteConfig } }
  },
  {
    // Programs for the terminal, and tests that drive them: they print, and JSDoc gives their types.
    files: ['scripts/**', 'bench/**', 'tests/e2e/**', '*.{js,ts}'],
    rules: { 'no-console': 'off', '@typescript-eslint/no-unsafe-assignment': 'off' }
  },
  {
    // What the benchmark compares with is installed by it alone, so its types are not there.
    ...ts.configs.disableTypeChecked,
    files: ['bench/peers/**'],
    languageOptions: { parserOptions: { projectService: false } }
  },
  {
    // Errors cross the worker's border as plain data.
    files: ['src/worker/**'],
    rules: { '@typescript-eslint/only-throw-error': 'off' }
  },
  ...floors
)
