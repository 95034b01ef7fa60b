import { createReadStream } from 'node:fs';
import { basename, resolve } from 'node:path';
import { Command } from 'commander';
import { type BlobRef, blobName, isEmptyDirectory } from '../../../shared/blob.ts';
import { KkError } from '../../../shared/errors.ts';
import { hashTree } from '../../plan/index.ts';
import type { CopyBody } from '../../views/requests.ts';
import type { Cli } from '../cli.ts';
import { copyWatcher } from '../copy-watch.ts';
import { followRun, rawWatcher } from '../follow.ts';
import { startLive } from '../live.ts';
import { type Format, withOutput } from '../options.ts';
import { rateText, sizeText } from '../output/size-text.ts';
import { count } from '../output/text.ts';
import { selectorOf, tellWithoutFacts } from '../selector.ts';
import { reviveController, wakeController } from '../wake.ts';

type Direction = { direction: 'to' | 'from'; selector: string[]; paths: string[]; to: string };

export function cpCommand(cli: Cli): Command {
  const command = withOutput(new Command('cp'))
    .description('Copy files to nodes, or from them')
    .usage('[options] <from...> <to>')
    .argument(
      '<paths...>',
      'files and folders here, or <nodes>:<path> with * (in quotes); where they come to is the last',
    )
    .addHelpText(
      'after',
      `
A folder's content comes into the folder that is named. From several nodes, each has a folder of its own below it.
Takes no locks, as exec, and a rollback does not undo it. Ends with 3 when it failed on any node.

Examples:
  kk-controller cp ./dir worker:/opt/x
  kk-controller cp a.conf b.conf 'all,!node7:/etc/app/'
  kk-controller cp 'node1:/var/log/*.log' ./logs/
  kk-controller cp all:/etc/os-release ./releases -o json`,
    );
  return cli.action(command, async (paths: string[], options: { output: Format }) => {
    const [to = '', ...from] = paths.toReversed();
    const wish = directionOf(from.reverse(), to);
    const copies = wish.direction === 'to' ? await copiesTo(wish) : copiesFrom(wish);
    await wakeController(cli);
    if (wish.direction === 'to') await sendBlobs(cli, copies);
    const { direction, selector } = wish;
    const body: CopyBody = { direction, selector, copies, by: cli.parts.settings.user };
    const { run, withoutFacts } = await cli.client.copy(body);
    tellWithoutFacts(cli, withoutFacts);
    const watcher = options.output === 'table' ? await copyWatcher(cli) : rawWatcher(cli, options.output);
    return followRun(cli, { run, logs: false, watcher, revive: () => reviveController(cli) });
  });
}

/** `nodes:/path`; a path on a node is absolute, so a colon in a name here is not taken for one. */
function remote(text: string): { selector: string; path: string } | undefined {
  const [, selector, path] = /^([^/]+):(\/.*)$/s.exec(text) ?? [];
  return selector === undefined || path === undefined ? undefined : { selector, path };
}

function directionOf(from: readonly string[], to: string): Direction {
  const there = remote(to);
  const far = from.map(remote);
  if (there !== undefined && far.length > 0 && far.every((one) => one === undefined))
    return { direction: 'to', selector: selectorOf(there.selector), paths: [...from], to: there.path };
  const [first] = far;
  if (there === undefined && first !== undefined && far.every((one) => one?.selector === first.selector)) {
    const paths = far.flatMap((one) => one?.path ?? []);
    return { direction: 'from', selector: selectorOf(first.selector), paths, to };
  }
  throw new KkError({
    code: 'USAGE',
    message: 'One side of cp is here, the other on nodes.',
    remedy:
      'Write `cp ./file worker:/path` or `cp worker:/path ./folder`; all that is fetched comes from the same nodes.',
  });
}

type Copies = CopyBody['copies'];

/** Throws SRC_MISSING. */
async function copiesTo({ paths, to }: Direction): Promise<Copies> {
  return Promise.all(
    paths.map(async (path) => {
      const from = blobName(resolve(path));
      const blobs = await hashTree(from);
      if (Object.keys(blobs).length === 0) {
        throw new KkError({
          code: 'SRC_MISSING',
          message: `There is no file or folder ${path} here.`,
          remedy: 'Correct the path.',
        });
      }
      const isFolder = blobs[from] === undefined;
      const into = isFolder && paths.length > 1 ? `${to.replace(/\/$/, '')}/${basename(from)}` : to;
      return { from, to: paths.length > 1 && !isFolder ? `${to.replace(/\/$/, '')}/` : into, blobs };
    }),
  );
}

function copiesFrom({ paths, to }: Direction): Copies {
  return paths.map((from) => ({ from, to: resolve(to), blobs: {} }));
}

/** Brings what the controller does not have, and tells how far it is. */
async function sendBlobs(cli: Cli, copies: Copies): Promise<void> {
  const all = new Map<string, { path: string; blob: BlobRef }>();
  for (const { blobs = {} } of copies)
    for (const [path, blob] of Object.entries(blobs)) if (!isEmptyDirectory(path)) all.set(blob.sha256, { path, blob });
  const missing = await cli.client.missingBlobs({ sha256: [...all.keys()] });
  const wanted = missing.flatMap((sha256) => all.get(sha256) ?? []);
  const total = wanted.reduce((sum, { blob }) => sum + (blob.size ?? 0), 0);
  const begun = cli.parts.now();
  let done = 0;
  const line = (): string =>
    `sending ${sizeText(done)} of ${sizeText(total)}, ${rateText(done, cli.parts.now() - begun)}`;
  const live = cli.isLive ? await startLive(cli.parts.out, () => [line()]) : undefined;
  try {
    for (const { path, blob } of wanted) {
      const stream = createReadStream(path);
      stream.on('data', (chunk) => {
        done += chunk.length;
        live?.touch();
      });
      await cli.client.addBlob(blob.sha256, stream);
    }
  } finally {
    live?.end();
  }
  if (total > 0)
    cli.note(`sent ${count(wanted.length, 'file')}, ${sizeText(total)}, ${rateText(total, cli.parts.now() - begun)}`);
}
