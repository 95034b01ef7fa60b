import { seal } from '../../shared/seal.ts';
import type { Json, StepResult, TaskSpec } from '../../shared/share.ts';

/**
 * The register as it travels to the controller with the end of its step: when something there reads it. Of a sensitive task
 * only sealed for the controller itself (ENGINE 2.7): the journal of this node, too, keeps it so.
 */
export function exportedRegister({ register, sensitive }: TaskSpec, value: Json): Pick<StepResult, 'register'> {
  if (register === undefined || !register.exported) return {};
  if (!sensitive) return { register: value };
  return register.seal === undefined ? {} : { register: seal(register.seal, value) };
}
