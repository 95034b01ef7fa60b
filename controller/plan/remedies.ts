import { z } from 'zod';
import { runsProgram } from '../../shared/actions/index.ts';
import { KnownFailure } from '../../shared/actions/known-failure.ts';
import { isTemplate } from '../../shared/expr/index.ts';
import type { Json } from '../../shared/share.ts';
import type { Library } from './library.ts';
import { beside } from './paths.ts';
import { suggest } from './problems.ts';
import { read } from './read.ts';
import type { RoleRead } from './role.ts';

const List = z.array(KnownFailure).min(1).max(500);

/** Puts what the files say that tasks name as `remedies` into these tasks. What is missing or wrong there is told. */
export function placeRemedies({ tasks }: Pick<RoleRead, 'tasks'>, library: Library): void {
  for (const { document, texts } of tasks.flatMap((task) => [task, ...task.recover, ...task.rollback])) {
    const { action, inputs } = document;
    if (!runsProgram(action) || typeof inputs !== 'object' || inputs === null || Array.isArray(inputs)) continue;
    const { remedies: name } = inputs;
    if (typeof name !== 'string') continue;
    const at = texts['/inputs/remedies'] ?? document.at;
    const found = isTemplate(name) ? undefined : listIn(beside(at.file, name), library);
    if (found !== undefined) document.inputs = { ...inputs, remedies: found };
    else if (isTemplate(name)) {
      const message = 'A file of remedies is read before any value is known, so its name cannot be a template.';
      library.problems.add('PLAN_TYPE', at, message, 'Write the name of the file.');
    } else if (!library.has(beside(at.file, name))) {
      const path = beside(at.file, name);
      const there = Object.keys(library.sources.texts).filter((other) => other.endsWith('.yaml'));
      library.problems.add('PLAN_MISSING', at, `The file of remedies ${path} is not there.`, suggest(path, there));
    }
  }
}

function listIn(path: string, library: Library): Json | undefined {
  const document = library.has(path) ? library.document(path) : undefined;
  return document && (read(List, document, 'remedies', library.problems) as Json | undefined);
}
