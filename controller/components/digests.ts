import { posix } from 'node:path';
import { sha256In } from '../../shared/checksums.ts';
import { type ErrorReport, KkErrors } from '../../shared/errors.ts';
import type { ComponentFile, Pin } from '../plan/index.ts';
import { type Answer, Away, ask, textOf } from './web.ts';

/** Bytes of a checksum file. */
const LIMIT = 1024 * 1024;
/** Questions at once. */
const AT_ONCE = 8;
/** How often one server is asked that does not answer. */
const ATTEMPTS = 2;

const UNREACHABLE = 'COMPONENT_UNREACHABLE';
const SEE_NETWORK = 'See name resolution, network and proxy of this machine';

/** What one server said of one file. */
type Seen = { sha256: string } | { why: 'away' | 'absent' | 'silent'; text: string };

/**
 * Asks for the sha256 of files where their checksums are published: all at once, each of the first server that tells it. Throws
 * KkErrors with COMPONENT_UNREACHABLE, COMPONENT_NOT_FOUND and CHECKSUM_UNKNOWN of all files, and the signal's reason.
 */
export async function askDigests(files: readonly ComponentFile[], signal: AbortSignal): Promise<Pin[]> {
  const pins: Pin[] = [];
  const problems: ErrorReport[] = [];
  const waiting = [...files];
  const one = async (): Promise<void> => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const found = await digestOf(file, signal);
      if (typeof found === 'string') pins.push({ ...pinned(file), sha256: found });
      else problems.push(found);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
  if (problems.length > 0) throw new KkErrors(together(problems.sort((a, b) => (a.message < b.message ? -1 : 1))));
  return pins;
}

/** Servers that nobody reaches are one trouble, however many files they have. */
function together(problems: readonly ErrorReport[]): ErrorReport[] {
  const isAway = ({ code }: ErrorReport): boolean => code === UNREACHABLE;
  const away = problems.filter(isAway);
  if (away.length < 2) return [...problems];
  const one: ErrorReport = {
    code: UNREACHABLE,
    message: `The sha256 of ${away.length} files could not be asked.`,
    remedy: `${SEE_NETWORK}; or set download.mirror, or download.overrides.<component>.sha256 of each.`,
    evidence: away.map(({ evidence }) => evidence).join('\n'),
  };
  return [one, ...problems.filter((problem) => !isAway(problem))];
}

function pinned({ component, version, arch }: ComponentFile): Omit<Pin, 'sha256'> {
  return { component, version, arch };
}

async function digestOf(file: ComponentFile, signal: AbortSignal): Promise<string | ErrorReport> {
  const seen: Extract<Seen, { why: string }>[] = [];
  for (const [index, checksum] of file.checksums.entries()) {
    const found = await askOne(checksum, file.urls[index] ?? checksum, signal);
    if ('sha256' in found) return found.sha256;
    seen.push(found);
  }
  return unknown(file, seen);
}

async function askOne(checksum: string, url: string, signal: AbortSignal): Promise<Seen> {
  const name = fileNameOf(url);
  try {
    const answer = await patiently(checksum, 'GET', signal);
    if (answer.status === 200) {
      const sha256 = sha256In(await textOf(answer, LIMIT), name);
      return sha256 === undefined ? { why: 'silent', text: `${checksum} does not speak of ${name}` } : { sha256 };
    }
    await answer.close();
    const text = `${checksum} answered ${answer.status}`;
    if (answer.status !== 404) return { why: 'away', text };
    // A mirror may have the file without its checksum.
    const file = await patiently(url, 'HEAD', signal);
    await file.close();
    return file.status === 200
      ? { why: 'silent', text: `${text}, though ${url} is there` }
      : { why: 'absent', text: `${text}, ${url} answered ${file.status}` };
  } catch (thrown) {
    if (!(thrown instanceof Away)) throw thrown;
    return { why: 'away', text: thrown.message };
  }
}

function fileNameOf(url: string): string {
  const name = posix.basename(new URL(url).pathname);
  try {
    return decodeURIComponent(name);
  } catch {
    // A `%` that begins no code stands for itself.
    return name;
  }
}

/** Throws {@link Away}. */
async function patiently(url: string, method: 'GET' | 'HEAD', signal: AbortSignal): Promise<Answer> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await ask(url, signal, { method });
    } catch (thrown) {
      if (!(thrown instanceof Away) || attempt === ATTEMPTS) throw thrown;
    }
  }
}

function unknown(file: ComponentFile, seen: readonly Extract<Seen, { why: string }>[]): ErrorReport {
  const { component, version, arch, urls } = file;
  const what = `${component} ${version} for ${arch}`;
  const [url = ''] = urls;
  const evidence = seen.map(({ text }) => text).join('\n');
  if (seen.every(({ why }) => why === 'absent')) {
    const message = `There is no ${what} at ${url}.`;
    const remedy = `Correct the version (${component === 'kubelet' || component === 'kubeadm' || component === 'kubectl' ? 'kubernetes.version' : `download.overrides.${component}.version`}), download.arch or download.mirror.`;
    return { code: 'COMPONENT_NOT_FOUND', message, remedy, evidence };
  }
  if (seen.some(({ why }) => why === 'away')) {
    const message = `The sha256 of ${what} could not be asked.`;
    const remedy = `${SEE_NETWORK}; or set download.mirror, or download.overrides.${component}.sha256.`;
    return { code: UNREACHABLE, message, remedy, evidence };
  }
  const message = `Nobody tells the sha256 of ${what}.`;
  const remedy = `State it as download.overrides.${component}.sha256, or put the checksum file beside ${url}.`;
  return { code: 'CHECKSUM_UNKNOWN', message, remedy, evidence };
}
