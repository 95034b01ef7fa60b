/** From what an action gave to what a register holds and what travels. Pure. */
import { runsProgram } from '../../shared/actions/index.ts';
import type { ErrorReport } from '../../shared/errors.ts';
import { KkError } from '../../shared/errors.ts';
import { Captured, type Json, type StepResult, type TaskSpec } from '../../shared/share.ts';
import type { ItemEnd } from './records.ts';

/** Bytes of a step's result as JSON (kk.proto, Ended.result). */
export const RESULT_LIMIT = 256 * 1024;
/** Bytes of a register that another node may read (ENGINE 2.3). */
export const REGISTER_LIMIT = 64 * 1024;

/** A captured stream as one text; a missing middle is said, the last line break is dropped. */
export function textOf({ head, tail, bytes }: Captured): string {
  const missing = bytes - Buffer.byteLength(head) - Buffer.byteLength(tail);
  const text = missing > 0 ? `${head}\n[… ${missing} bytes are only on the node …]\n${tail}` : head + tail;
  return text.replace(/\r?\n$/, '');
}

type Fields = { [key: string]: Json };

/**
 * What a register holds after one attempt: the action's output and `changed`, `failed`, `skipped`. Of a command also
 * `rc`, `stdout`, `stderr` and their `_lines` as text, the names that people know from Ansible.
 */
export function registerOf(
  action: string,
  output: Json | undefined,
  flags: { changed: boolean; failed: boolean; skipped: boolean },
  error?: ErrorReport,
): Fields {
  const fields: Fields = typeof output === 'object' && output !== null && !Array.isArray(output) ? { ...output } : {};
  if (runsProgram(action)) {
    for (const name of ['stdout', 'stderr']) {
      const captured = Captured.safeParse(fields[name]);
      if (!captured.success) continue;
      const text = textOf(captured.data);
      fields[name] = text;
      fields[`${name}_lines`] = text === '' ? [] : text.split(/\r?\n/);
    }
    if (fields['code'] !== undefined) fields['rc'] = fields['code'];
  }
  if (error !== undefined) {
    fields['message'] ??= error.message;
    fields['error'] = { code: error.code, message: error.message };
  }
  return { ...fields, ...flags };
}

/** The register of a loop: one entry for each item, in order. */
export function loopRegister(ends: readonly ItemEnd[]): Fields {
  return {
    results: ends.map((end) => end.register ?? {}),
    changed: ends.some((end) => end.changed),
    failed: ends.some((end) => end.outcome === 'failed'),
    skipped: ends.every((end) => end.outcome === 'skipped'),
  };
}

const TYPE_CHECK: Readonly<Record<string, (value: Json) => boolean>> = {
  string: (value) => typeof value === 'string',
  integer: (value) => Number.isInteger(value),
  number: (value) => typeof value === 'number',
  boolean: (value) => typeof value === 'boolean',
  list: Array.isArray,
  map: (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  any: () => true,
};

/**
 * The value that a register's declared type asks for: `map` and `any` are all fields; a plain type of a command is what
 * it printed, read as that type. Throws KkError REGISTER_TYPE when it does not fit, REGISTER_TOO_LARGE when another
 * node would read too much.
 */
export function typedRegister(spec: TaskSpec, fields: Fields): Json {
  const { register } = spec;
  return register === undefined ? fields : checkedRegister(spec, principal(spec.action, register.type, fields));
}

/** The value, if it is as the task's register declares. Throws as {@link typedRegister}. */
export function checkedRegister(spec: TaskSpec, value: Json): Json {
  const { register } = spec;
  if (register === undefined) return value;
  const fits = (TYPE_CHECK[register.type] ?? (() => true))(value);
  if (!fits || (register.pattern !== undefined && !matches(register.pattern, value))) {
    const wanted =
      register.pattern === undefined
        ? `of type ${register.type}`
        : `of type ${register.type} matching ${register.pattern}`;
    throw new KkError({
      code: 'REGISTER_TYPE',
      message: `The register "${register.name}" is not ${wanted}.`,
      remedy: 'Mend what the task prints, or the type or pattern that its register declares.',
      ...(spec.sensitive ? {} : { evidence: JSON.stringify(value).slice(0, 500) }),
    });
  }
  const size = register.exported ? Buffer.byteLength(JSON.stringify(value)) : 0;
  if (size > REGISTER_LIMIT) {
    throw new KkError({
      code: 'REGISTER_TOO_LARGE',
      message: `The register "${register.name}" has ${size} bytes; another node reads it, so ${REGISTER_LIMIT} is the limit.`,
      remedy: 'Print only what the other node needs.',
    });
  }
  return value;
}

function principal(action: string, type: string, fields: Fields): Json {
  const { stdout } = fields;
  if (!runsProgram(action) || type === 'map' || type === 'any' || typeof stdout !== 'string') return fields;
  const text = stdout.trim();
  if (type === 'list') return fields['stdout_lines'] ?? [];
  if (type === 'integer' || type === 'number') return text === '' ? text : Number(text);
  if (type === 'boolean') return text === 'true' ? true : text === 'false' ? false : text;
  return text;
}

function matches(pattern: string, value: Json): boolean {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return new RegExp(`^(?:${pattern})$`, 'u').test(text);
}

/** Strings are cut to these lengths, one after another, until the result fits. */
const CUTS = [32_768, 8_192, 2_048, 512, 128];

/** The result within its limit: first diffs lose their full texts, then long strings their ends, then output goes. */
export function bounded(result: StepResult): StepResult {
  if (sizeOf(result) <= RESULT_LIMIT) return result;
  let small: StepResult = result;
  if (result.diffs !== undefined) {
    small = { ...small, diffs: result.diffs.map((diff) => ({ ...diff, before: '', after: '' })) };
  }
  for (const length of CUTS) {
    if (sizeOf(small) <= RESULT_LIMIT) return small;
    const { register, ...rest } = small;
    small = { ...(shortened(rest as Json, length) as typeof rest), ...(register === undefined ? {} : { register }) };
  }
  if (sizeOf(small) <= RESULT_LIMIT) return small;
  const { diffs: _diffs, output: _output, ...core } = small;
  return { ...core, output: `[the output was larger than ${RESULT_LIMIT} bytes]` };
}

function sizeOf(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value));
}

function shortened(value: Json, length: number): Json {
  if (typeof value === 'string') {
    return value.length <= length ? value : `${value.slice(0, length)}[… ${value.length - length} more characters]`;
  }
  if (Array.isArray(value)) return value.map((item) => shortened(item, length));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, shortened(part, length)])) as Json;
}

/** What a step tells of all its items: one error for the step, outputs and diffs in order, nothing of sensitive ones. */
export function resultOf(spec: TaskSpec, items: readonly Json[] | undefined, ends: readonly ItemEnd[]): StepResult {
  const failed = ends.filter((end) => end.outcome === 'failed');
  const diffs = ends.flatMap((end) => end.diffs ?? []);
  const [error] = failed.flatMap((end) => (end.error === undefined ? [] : [end.error]));
  const result: StepResult = {
    changed: ends.some((end) => end.changed),
    attempts: ends.reduce((most, end) => Math.max(most, end.attempts), 0),
  };
  const unknown = ends.find((end) => end.unknown !== undefined)?.unknown;
  if (unknown !== undefined) result.unknown = unknown;
  if (items !== undefined) result.items = items.length;
  if (!spec.sensitive) {
    const outputs = ends.map((end) => end.output ?? null);
    const [only] = outputs;
    if (items !== undefined)
      result.output = ends.map((end, at) => ({
        item: items[at] ?? null,
        outcome: end.outcome,
        output: end.output ?? null,
      }));
    else if (only !== undefined && only !== null) result.output = only;
    if (diffs.length > 0) result.diffs = diffs;
  }
  if (error !== undefined) result.error = items === undefined ? error : ofItems(error, failed.length, items.length);
  return bounded(result);
}

function ofItems(error: ErrorReport, failed: number, items: number): ErrorReport {
  return { ...error, message: `${failed} of ${items} items failed; the first: ${error.message}` };
}
