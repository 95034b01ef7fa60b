import { Command, CommanderError } from 'commander';
import { reportOf } from '../../shared/errors.ts';
import * as api from './api.ts';
import { runHere } from './commands.ts';
import {
  DEFAULT_CACHE_DIR,
  DEFAULT_LAB,
  DEFAULT_STATE_ROOT,
  FIRST_ADDRESS,
  type LabPlace,
  nodeNumber,
  parseNet,
  usageError,
} from './names.ts';
import { NODE_ENV } from './node-process.ts';
import { SUITES } from './prepare.ts';

const EXIT = { ok: 0, usage: 1, failed: 2 };

const EXAMPLES = `
Nodes are called node1 (or 1), node2, ...; they have the addresses .11, .12, ... of the lab's network and the host has .1.

Examples:
  $ npm run lab -- up 3                           three nodes, booted
  $ npm run lab -- up node2                       start node2 again (after down, kill or powerloss)
  $ npm run lab -- ssh node1                      a shell by ssh, as root
  $ npm run lab -- exec node1 -- systemctl --failed
  $ npm run lab -- cut node2                      pull its cable; join puts it back
  $ npm run lab -- ls --name demo -o json         another lab, for programs
  $ npm run lab -- destroy                        leave nothing behind but the cached base

Exit codes: 0 done, 1 wrong use, 2 failed; ssh and exec answer with the exit code of what they ran.`;

interface PlaceFlags {
  name?: string;
  state?: string;
  cache?: string;
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Flags that every verb takes, before or after its name. */
function withPlace(command: Command): Command {
  return command
    .option('--name <lab>', `which lab, by default $KK_LAB or '${DEFAULT_LAB}'`)
    .option('--state <folder>', `where labs are kept, by default $KK_LAB_STATE or ${DEFAULT_STATE_ROOT}`)
    .option('--cache <folder>', `where the shared base is kept, by default $KK_LAB_CACHE or ${DEFAULT_CACHE_DIR}`);
}

function placeOf(command: Command): Required<LabPlace> {
  const flags: PlaceFlags = command.optsWithGlobals();
  return {
    name: flags.name ?? process.env.KK_LAB ?? DEFAULT_LAB,
    stateRoot: flags.state ?? process.env.KK_LAB_STATE ?? DEFAULT_STATE_ROOT,
    cacheDir: flags.cache ?? process.env.KK_LAB_CACHE ?? DEFAULT_CACHE_DIR,
  };
}

/** Numbers that `up` means by `what`: a count of nodes from the address `first` on, or nodes by name. */
function numbersOf(what: readonly string[], first: string): number[] {
  if (what.some((word) => word.startsWith('node'))) return what.map(nodeNumber);
  const count = Number(what[0]);
  const start = Number(first) - FIRST_ADDRESS + 1;
  if (what.length > 1 || !Number.isInteger(count) || count < 1) {
    throw usageError(
      `'${what.join(' ')}' is neither a number of nodes nor nodes`,
      'Write `up 3`, or `up node1 node2`.',
    );
  }
  if (!Number.isInteger(start) || start < 1) {
    throw usageError(`--first ${first} is no node's address`, `Addresses of nodes begin at ${FIRST_ADDRESS}.`);
  }
  return Array.from({ length: count }, (_, index) => nodeNumber(`${start + index}`));
}

/** What follows a node's name, without the `--` that may stand before it. */
function commandIn(argv: readonly string[]): readonly string[] {
  return argv[0] === '--' ? argv.slice(1) : argv;
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** The command line; `finish` is told the exit code of what ssh and exec ran. */
function commandLine(finish: (code: number) => void): Command {
  const program = withPlace(new Command('lab'))
    .description('Several machines on this one: each a systemd of its own, with its own network, disk and cgroups.')
    .enablePositionalOptions()
    .exitOverride()
    .addHelpText('after', EXAMPLES);
  const verb = (usage: string, description: string) => withPlace(program.command(usage)).description(description);

  verb('up <what...>', 'bring up N nodes, or the nodes named, and wait until they have booted')
    .option('--first <address>', 'last byte of the address of the first node', `${FIRST_ADDRESS}`)
    .option('--net <network>', 'network of a new lab, e.g. 10.88.1.0/24; by default 10.77.x.0/24, x from its name')
    .option('--suite <suite>', `Debian of new nodes: ${SUITES.join(' or ')}`, SUITES[0])
    .option('--disk <size>', 'disk of new nodes; costs only what is written', '20G')
    .addHelpText(
      'after',
      '\nExamples:\n  $ npm run lab -- up 3\n  $ npm run lab -- up 2 --name ci --suite trixie\n  $ npm run lab -- up node2',
    )
    .action(
      async (what: string[], flags: { first: string; net?: string; suite: string; disk: string }, command: Command) => {
        const { net, suite, disk } = flags;
        const place = placeOf(command);
        const numbers = numbersOf(what, flags.first);
        const network = net === undefined ? {} : { net: parseNet(net) };
        const up = await api.labUp({
          ...place,
          ...network,
          numbers,
          suite,
          disk,
          onProgress: say,
        });
        for (const { name, address, state } of up.nodes) print(`${name}  ${address}  ${state}`);
        print(`The host is ${up.gateway} to them; root's key is ${up.sshKey}; user ops has the password ops.`);
      },
    );

  verb('ls', 'show the nodes and how they are')
    .option('-o, --output <format>', 'table or json', 'table')
    .action(async ({ output }: { output: string }, command: Command) => {
      if (output !== 'table' && output !== 'json') throw usageError(`-o ${output} is not known`, 'Use table or json.');
      const nodes = await api.labList(placeOf(command));
      if (output === 'json') return print(JSON.stringify(nodes, null, 2));
      const rows = nodes.map((node) => [
        node.name,
        node.address,
        node.state,
        node.cable,
        `${node.pid ?? '-'}`,
        node.base,
      ]);
      print(table([['NODE', 'ADDRESS', 'STATE', 'CABLE', 'PID', 'BASE'], ...rows]));
    });

  verb('ssh <node> [command...]', 'log in by ssh as root, or run a command so')
    .passThroughOptions()
    .addHelpText('after', '\nExample:\n  $ npm run lab -- ssh node1 journalctl -n 20')
    .action(async (node: string, argv: string[], _flags: object, command: Command) =>
      finish(await runHere(api.labSshCommand(placeOf(command), node, commandIn(argv)))),
    );

  verb('exec <node> <command...>', 'run a command in a node as root, even while its network is cut')
    .passThroughOptions()
    .addHelpText('after', '\nExample:\n  $ npm run lab -- exec node1 -- ip address show eth0')
    .action(async (node: string, argv: string[], _flags: object, command: Command) =>
      finish(await runHere(api.labExecCommand(placeOf(command), node, commandIn(argv)), NODE_ENV)),
    );

  verb('root <node>', 'print where the files of a running node are seen from here').action(
    (node: string, _flags: object, command: Command) => print(api.labRoot(placeOf(command), node)),
  );

  const onNode = (name: string, description: string, act: (place: LabPlace, node: string) => Promise<void>) =>
    verb(`${name} <node>`, description).action((node: string, _flags: object, command: Command) =>
      act(placeOf(command), node),
    );
  onNode('cut', 'pull the network cable out of a node', api.cut);
  onNode('join', 'put it back', api.join);
  onNode('kill', 'end all of its processes at once; what it wrote stays', api.kill);
  onNode('powerloss', 'pull its plug: unsynced writes are lost', api.powerloss);
  onNode('rm', 'kill it and forget its disk', api.remove);

  verb('down [node]', 'power a node off in order, or all of them; their disks stay').action(
    async (node: string | undefined, _flags: object, command: Command) => {
      const place = placeOf(command);
      const all = node === undefined || node === 'all';
      const names = all ? (await api.labList(place)).map(({ name }) => name) : [node];
      await Promise.all(names.map((name) => api.down(place, name)));
    },
  );

  verb('nat <on|off>', 'let nodes reach what this host reaches (package registries), or stop that').action(
    async (wanted: string, _flags: object, command: Command) => {
      if (wanted !== 'on' && wanted !== 'off') throw usageError(`'${wanted}' is neither on nor off`, 'Write `nat on`.');
      await api.nat(placeOf(command), wanted === 'on');
    },
  );

  verb('prepare', 'install what the lab needs and build the base its nodes share')
    .option('--suite <suite>', `Debian of the base: ${SUITES.join(' or ')}`, SUITES[0])
    .action(async ({ suite }: { suite: string }, command: Command) =>
      print(await api.labPrepare(placeOf(command), suite, say)),
    );

  verb('destroy', 'remove the lab and everything of it: nodes, network, cgroups, disks, settings')
    .option('--all', 'the cached base as well')
    .action(({ all }: { all?: boolean }, command: Command) =>
      api.labDestroy(placeOf(command), { cache: all ?? false }),
    );

  return program;
}

async function main(argv: readonly string[]): Promise<number> {
  let code = EXIT.ok;
  const program = commandLine((answer) => {
    code = answer;
  });
  try {
    await program.parseAsync(argv, { from: 'user' });
    return code;
  } catch (error) {
    // Commander has said what was wrong, or printed the help that was asked for.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    const report = reportOf(error);
    say(`${report.code}: ${report.message}`);
    if (report.evidence) say(report.evidence.replace(/^/gm, '  | '));
    say(`  -> ${report.remedy}`);
    return report.code === 'LAB_USAGE' ? EXIT.usage : EXIT.failed;
  }
}

process.exitCode = await main(process.argv.slice(2));
