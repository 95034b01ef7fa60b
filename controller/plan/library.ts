import type { BlobRef } from '../../shared/blob.ts';
import type { Position } from '../../shared/errors.ts';
import type { DocNode } from './document.ts';
import { parseYaml } from './parse.ts';
import type { Problems } from './problems.ts';
import type { Sources } from './types.ts';

/** The sources as documents: each file is parsed, and its problems are told, once. */
export class Library {
  readonly sources: Sources;
  readonly problems: Problems;
  readonly #documents = new Map<string, DocNode | undefined>();

  constructor(sources: Sources, problems: Problems) {
    this.sources = sources;
    this.problems = problems;
  }

  has(path: string): boolean {
    return Object.hasOwn(this.sources.texts, path) || Object.hasOwn(this.sources.refused ?? {}, path);
  }

  /** The document, or undefined when it is absent or broken (the latter is told). */
  document(path: string): DocNode | undefined {
    if (this.#documents.has(path)) return this.#documents.get(path);
    const text = this.text(path);
    const document = text === undefined ? undefined : parseYaml(path, text, this.problems);
    if (!document) this.problems.gap();
    this.#documents.set(path, document);
    return document;
  }

  /** The text as it is, or undefined when it is absent or cannot be used (the latter is told). */
  text(path: string): string | undefined {
    const refusal = this.sources.refused?.[path];
    if (refusal !== undefined) this.refuse(path, refusal);
    return Object.hasOwn(this.sources.texts, path) ? this.sources.texts[path] : undefined;
  }

  /** Texts below a folder, by the path inside it; unusable ones are told. */
  under(folder: string): Record<string, string> {
    const found: Record<string, string> = {};
    for (const [path, text] of Object.entries(this.sources.texts)) {
      if (path.startsWith(`${folder}/`)) found[path.slice(folder.length + 1)] = text;
    }
    for (const [path, why] of Object.entries(this.sources.refused ?? {})) {
      if (path.startsWith(`${folder}/`)) this.refuse(path, why);
    }
    return found;
  }

  /** What is known of the files below a folder by their digests, by the path inside it. */
  filesUnder(folder: string): Record<string, BlobRef> {
    return Object.fromEntries(
      Object.entries(this.sources.files ?? {}).flatMap(([path, blob]) =>
        path.startsWith(`${folder}/`) ? [[path.slice(folder.length + 1), blob]] : [],
      ),
    );
  }

  refuse(file: string, why: string): void {
    const position: Position = { file, line: 1, column: 1 };
    this.problems.add(
      'PLAN_FILE',
      position,
      `The file cannot be used: ${why}.`,
      'Correct the file, or remove what refers to it.',
    );
  }
}
