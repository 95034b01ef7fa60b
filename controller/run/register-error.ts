import type { ErrorReport } from '../../shared/errors.ts';
import type { Json, RegisterType, TaskSpec } from '../../shared/share.ts';

/** Bytes of a register as JSON that another node reads (ENGINE 2.3). */
const REGISTER_LIMIT = 64 * 1024;

const FITS: Readonly<Record<RegisterType, (value: Json) => boolean>> = {
  string: (value) => typeof value === 'string',
  integer: (value) => Number.isInteger(value),
  number: (value) => typeof value === 'number',
  boolean: (value) => typeof value === 'boolean',
  list: (value) => Array.isArray(value),
  map: (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  any: () => true,
};

/**
 * What is wrong with a value that other nodes are about to be given; undefined: it is of the declared type and pattern.
 * The agent has looked at it too, but its word is not taken where the value goes on to others.
 */
export function registerError(register: NonNullable<TaskSpec['register']>, value: Json): ErrorReport | undefined {
  const { name, type, pattern } = register;
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  const wrong = (code: string, what: string, remedy: string): ErrorReport => ({
    code,
    message: `The register "${name}" ${what}, so no other node is given it.`,
    remedy,
  });
  if (Buffer.byteLength(JSON.stringify(value)) > REGISTER_LIMIT)
    return wrong(
      'REGISTER_TOO_LARGE',
      `has more than ${REGISTER_LIMIT} bytes`,
      'Print only what the other node needs.',
    );
  const matches = pattern === undefined || new RegExp(`^(?:${pattern})$`, 'u').test(text);
  if (FITS[type](value) && matches) return undefined;
  const wanted = pattern === undefined ? `of type ${type}` : `of type ${type} matching ${pattern}`;
  return wrong(
    'REGISTER_TYPE',
    `is not ${wanted}`,
    'Mend what the task prints, or the type or pattern that its register declares.',
  );
}
