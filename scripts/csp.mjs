// The Content-Security-Policy, written once: a header from our server, a <meta> in the built pages.

const DIRECTIVES = {
  'default-src': "'none'",
  // WebAssembly compiles only with 'wasm-unsafe-eval'; it allows no JavaScript eval.
  'script-src': "'self' 'wasm-unsafe-eval'",
  'worker-src': "'self'",
  'style-src': "'self'",
  // Models are downloaded from the hub that someone names, and hubs send on to hosts of theirs; nothing is asked of them before someone asks.
  'connect-src': "'self' https: http://localhost:* http://127.0.0.1:*",
  'img-src': "'self' data: blob:",
  'font-src': "'self'",
  'manifest-src': "'self'",
  'base-uri': "'none'",
  'form-action': "'none'"
}

const join = (/** @type {Record<string, string>} */ directives) =>
  Object.entries(directives)
    .map(([name, value]) => `${name} ${value}`)
    .join('; ')

/** For `<meta http-equiv>`, where frame-ancestors is not allowed. */
export const META_POLICY = join(DIRECTIVES)

/** For the response header; workers take theirs from it, not from the page. */
export const HEADER_POLICY = join({ ...DIRECTIVES, 'frame-ancestors': "'none'" })
