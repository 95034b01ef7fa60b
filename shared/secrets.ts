/**
 * Refusals of the controller that another question does not change, so that a step fails by them instead of waiting:
 * no task of the run is left to make the secret, or what is stored of it cannot be opened.
 */
export const FINAL_REFUSALS: ReadonlySet<string> = new Set(['SECRET_NEVER', 'SECRET_UNREADABLE']);
