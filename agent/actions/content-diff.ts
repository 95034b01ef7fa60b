import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { createTwoFilesPatch } from 'diff';
import { modeText } from '../../shared/actions/mode.ts';
import { isPrivate } from '../../shared/actions/private-file.ts';
import type { Diff } from '../../shared/share.ts';

/** Characters of each side that travel, and of the unified form: together at most 64 KiB of a text in one script. */
const SIDE_LIMIT = 16 * 1024;
const UNIFIED_LIMIT = 32 * 1024;
/** Comparing larger texts line by line is not worth the agent's time. */
const COMPARE_LIMIT = 2 * 1024 * 1024;
const COMPARE_MS = 100;

export function sha256(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

function isText(content: Uint8Array): boolean {
  return isUtf8(content) && !content.includes(0);
}

function described(content: Uint8Array | undefined): string {
  return content === undefined ? 'no file' : `${content.length} bytes, sha256 ${sha256(content)}`;
}

function side(content: Uint8Array | undefined): string {
  if (content === undefined) return '';
  if (!isText(content) || content.length > SIDE_LIMIT) return `[${described(content)}]`;
  return Buffer.from(content).toString('utf8');
}

/** What a change of content looks like; undefined content: no file. Binary or huge: sizes and digests. */
export function contentDiff(path: string, before: Uint8Array | undefined, after: Uint8Array | undefined): Diff {
  return { path, before: side(before), after: side(after), unified: unified(path, before, after) };
}

function unified(path: string, before: Uint8Array | undefined, after: Uint8Array | undefined): string {
  const sizes = (before?.length ?? 0) + (after?.length ?? 0);
  const text = [before, after].every((content) => content === undefined || isText(content));
  if (text && sizes <= COMPARE_LIMIT) {
    const names = [before, after].map((content) => (content === undefined ? '/dev/null' : path)) as [string, string];
    const texts = [before, after].map((content) => Buffer.from(content ?? []).toString('utf8')) as [string, string];
    const patch = createTwoFilesPatch(...names, ...texts, undefined, undefined, {
      context: 3,
      timeout: COMPARE_MS,
      headerOptions: { includeIndex: false, includeUnderline: false, includeFileHeaders: true },
    });
    if (patch !== undefined) return cut(patch);
  }
  return `--- ${path}\n+++ ${path}\n-[${described(before)}]\n+[${described(after)}]\n`;
}

function cut(patch: string): string {
  if (patch.length <= UNIFIED_LIMIT) return patch;
  const end = patch.lastIndexOf('\n', UNIFIED_LIMIT) + 1;
  return `${patch.slice(0, end)}[… ${patch.length - end} more characters of difference]\n`;
}

/** The same of content that is not in memory, in words: `sha256 …`, `120 bytes`; undefined: no file. */
export function describedDiff(path: string, before: string | undefined, after: string | undefined): Diff {
  const [was, becomes] = [before ?? 'no file', after ?? 'no file'];
  const sides = { before: before === undefined ? '' : `[${was}]`, after: after === undefined ? '' : `[${becomes}]` };
  return { path, ...sides, unified: `--- ${path}\n+++ ${path}\n-[${was}]\n+[${becomes}]\n` };
}

/** Is a file of this mode kept from others? Then what lies there may be secret, and nobody has said so to this run. */
export function isHidden(mode: number): boolean {
  return isPrivate(modeText(mode));
}

/**
 * {@link contentDiff} where a file is or was private: its text, and what is made of that, is shown to nobody. No digests: they
 * give away what is short and secret.
 */
export function hiddenDiff(path: string, before: Uint8Array | undefined, after: Uint8Array | undefined): Diff {
  const words = (content: Uint8Array | undefined): string | undefined =>
    content && `${content.length} bytes, not shown: not everybody may read the file`;
  return describedDiff(path, words(before), words(after));
}

/** {@link contentDiff} of a file that is there with that mode. */
export function presentDiff(path: string, mode: number, before: Uint8Array, after: Uint8Array | undefined): Diff {
  return (isHidden(mode) ? hiddenDiff : contentDiff)(path, before, after);
}
