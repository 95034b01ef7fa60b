import { open } from 'node:fs/promises';
import { Command } from 'commander';
import { parseBundle, readableTime, validityOf } from '../../../shared/certificates.ts';
import { KkError } from '../../../shared/errors.ts';
import { clientCertificate } from '../../../shared/kubeconfig.ts';
import type { Cli } from '../cli.ts';
import { wakeController } from '../wake.ts';

/** With less left a person is told. */
const SOON_MS = 30 * 86_400_000;

export function kubeconfigCommand(cli: Cli): Command {
  const command = new Command('kubeconfig')
    .description('Print the kubeconfig of a cluster that a plan has installed')
    .option('--cluster <name>', 'of which cluster; default: the only one')
    .option('-o, --out <file>', 'write it there instead, for the owner alone')
    .addHelpText(
      'after',
      `
It lets whoever has it do everything in the cluster.

Examples:
  kk-controller kubeconfig -o ~/.kube/config
  KUBECONFIG=<(kk-controller kubeconfig --cluster lab) kubectl get nodes`,
    );
  return cli.action(command, async ({ cluster, out }: { cluster?: string; out?: string }) => {
    await wakeController(cli);
    const content = await cli.client.kubeconfig(cluster ?? (await only(cli)));
    const ending = endOf(content, cli.parts.now());
    if (ending !== undefined) cli.note(ending);
    if (out === undefined) cli.parts.out.write(content);
    else {
      await writeOwn(out, content);
      cli.note(`Written to ${out}.`);
    }
    return 0;
  });
}

/** What to know when its certificate ends soon: timers of control planes renew theirs, and nobody tells the controller. */
function endOf(content: string, nowMs: number): string | undefined {
  const pem = clientCertificate(content);
  if (pem === undefined) return undefined;
  const end = endOfFirst(pem);
  if (end === undefined || end - nowMs > SOON_MS) return undefined;
  const how = end <= nowMs ? 'ended' : 'ends';
  return `Its certificate ${how} on ${readableTime(end)}: \`kk-controller certs renew\` or an apply of the plan brings a new one.`;
}

function endOfFirst(pem: string): number | undefined {
  try {
    const [certificate] = parseBundle(pem);
    return certificate && validityOf(certificate).notAfter;
  } catch {
    return undefined;
  }
}

async function only(cli: Cli): Promise<string> {
  const names = await cli.client.clusters();
  const [first, second] = names;
  if (first !== undefined && second === undefined) return first;
  throw new KkError(
    first === undefined
      ? {
          code: 'KUBECONFIG_UNKNOWN',
          message: 'This controller keeps no kubeconfig.',
          remedy: 'A plan that installs a cluster keeps one: see `kk-controller runs`.',
        }
      : {
          code: 'USAGE',
          message: `There are ${names.length} clusters: ${names.join(', ')}.`,
          remedy: `Name one: --cluster ${first}.`,
        },
  );
}

async function writeOwn(file: string, content: string): Promise<void> {
  try {
    const opened = await open(file, 'wx', 0o600);
    await opened.writeFile(content).finally(() => opened.close());
  } catch (thrown) {
    const code = (thrown as NodeJS.ErrnoException).code;
    throw new KkError({
      code: code === 'EEXIST' ? 'FILE_EXISTS' : 'FILE_NOT_WRITABLE',
      message: code === 'EEXIST' ? `${file} is there already.` : `${file} cannot be written: ${code}.`,
      remedy:
        code === 'EEXIST' ? 'Name another file, or move it away: it may hold other clusters.' : 'Name another file.',
    });
  }
}
