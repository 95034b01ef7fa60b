import type { Test } from 'tap';

/** One story of the lab test, told on standard error as soon as it is over. */
export async function story(t: Test, name: string, tell: (t: Test) => Promise<unknown>): Promise<void> {
  const began = performance.now();
  const result = await t.test(name, tell);
  const seconds = ((performance.now() - began) / 1000).toFixed(1).padStart(5);
  process.stderr.write(`${result?.ok ? 'passed' : 'FAILED'} ${seconds} s  ${name}\n`);
}

/** A measurement: no assertion, but worth to be seen. */
export function measured(t: Test, text: string): void {
  t.comment(text);
  process.stderr.write(`                 ${text}\n`);
}
