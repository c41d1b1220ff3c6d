// Errors meant for the person at the page: what is wrong, and what to do about it.

/** A problem that the user can mend. `message` says what is wrong, `advice` what to do; both are shown as they are. */
export class UserError extends Error {
  override readonly name = 'UserError'
  constructor(
    message: string,
    readonly advice: string
  ) {
    super(message)
  }
}

/** Any thrown value as the two sentences that the page shows. Unknown errors keep their message, never a stack trace. */
export function describeError(error: unknown): { message: string; advice: string } {
  if (error instanceof Error && error.name === 'UserError') {
    return { message: error.message, advice: (error as UserError).advice }
  }
  const message = error instanceof Error ? error.message : String(error)
  return { message, advice: 'Reload the page and try again; saved runs are kept.' }
}
