import { NodeCertificates } from '../../shared/node-certificates.ts';
import type { StreamLine } from '../views/types.ts';
import type { Watcher } from './follow.ts';
import { byName, resultOf } from './output/exec-text.ts';

export type ToldCertificates = NodeCertificates & { node: string };

/** Gathers what the nodes tell of their certificates. */
export class CertificatesWatcher implements Watcher {
  readonly note: (text: string) => void;
  readonly #told = new Map<string, ToldCertificates>();
  readonly #silent = new Map<string, string>();

  constructor(note: (text: string) => void) {
    this.note = note;
  }

  get told(): ToldCertificates[] {
    return [...this.#told.values()].sort((a, b) => byName(a.node, b.node));
  }

  /** Of the nodes that told nothing: why. */
  get silent(): string[] {
    return [...this.#silent].map(([node, why]) => `${node} told nothing: ${why}`);
  }

  line(line: StreamLine): void {
    if (line.type === 'node' && line.error) this.#silent.set(line.node, `${line.error.code}: ${line.error.message}`);
    if (line.type !== 'ended') return;
    const read = NodeCertificates.safeParse(printed(line.output));
    if (read.success) this.#told.set(line.node, { node: line.node, ...read.data });
    else this.#silent.set(line.node, resultOf(line));
  }

  restart(): void {
    this.#told.clear();
    this.#silent.clear();
  }

  end(): void {}
}

/** What the agent printed is JSON on one line, far below what is kept of an output. */
function printed(output: unknown): unknown {
  const { stdout } = (output ?? {}) as { stdout?: { head?: string; tail?: string } };
  try {
    return JSON.parse(`${stdout?.head ?? ''}${stdout?.tail ?? ''}`);
  } catch {
    return undefined;
  }
}
