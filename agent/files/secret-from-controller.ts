import { askController, type ControllerParts, textOf } from './from-controller.ts';

/** The value of a secret that a task of this node's own names. Throws KkError, {@link Away} when the controller cannot be asked now. */
export async function secretFromController(
  run: string,
  name: string,
  signal: AbortSignal,
  parts: ControllerParts,
): Promise<string> {
  const path = `/secret/${encodeURIComponent(run)}/${encodeURIComponent(name)}`;
  return textOf(await askController({ method: 'GET', path, headers: {} }, signal, parts));
}
