/**
 * Refusals of the controller that another question does not change, so that a step fails by them instead of waiting:
 * no task of the run is left to make the secret, or what is stored of it cannot be opened.
 */
export const FINAL_REFUSALS: ReadonlySet<string> = new Set(['SECRET_NEVER', 'SECRET_UNREADABLE']);

/** Less than this of a map is too common to be hidden wherever it stands. Characters. */
const TELLING = 4;

/**
 * What must be shown nowhere of a secret: its value, and the lines of one that is a map of them (`secret.make` of kind `files`).
 * Pure.
 */
export function hiddenPartsOf(value: string): string[] {
  if (!value.startsWith('{')) return [value];
  let parts: unknown[];
  try {
    parts = Object.values(JSON.parse(value) as object);
  } catch {
    return [value];
  }
  const texts = parts.filter((part) => typeof part === 'string').filter((part) => part.length >= TELLING);
  // As it stands in what is written with quotes around it.
  return [value, ...new Set(texts.flatMap((text) => [text, JSON.stringify(text).slice(1, -1)]))];
}
