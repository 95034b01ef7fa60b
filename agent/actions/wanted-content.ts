import { KkError } from '../../shared/errors.ts';
import type { ActionContext } from './executor.ts';

type Stated = { content?: string | undefined; template?: string | undefined; source?: string | undefined };

function shipped(path: string, context: ActionContext): string {
  const text = context.roleFile(path);
  if (text !== undefined) return text;
  throw new KkError({
    code: 'ROLE_FILE_MISSING',
    message: `The role has no ${path}.`,
    remedy:
      'Add the file to the role, or correct its name; it must be known when the plan is compiled, so no template can make it up.',
  });
}

/** The bytes a file should hold; undefined: no content is stated. Throws ROLE_FILE_MISSING and what rendering throws. */
export function wantedContent({ content, template, source }: Stated, context: ActionContext): Buffer | undefined {
  if (content !== undefined) return Buffer.from(content);
  if (source !== undefined) return Buffer.from(shipped(`files/${source}`, context));
  if (template === undefined) return undefined;
  const path = `templates/${template}`;
  return Buffer.from(context.render(shipped(path, context), path));
}
