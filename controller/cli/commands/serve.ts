import { Command, InvalidArgumentError } from 'commander';
import { KkError } from '../../../shared/errors.ts';
import { DEFAULT_LISTEN } from '../../config/settings.ts';
import type { Cli } from '../cli.ts';
import { durationOption, httpsEndpoint, listenAddress } from '../options.ts';

interface Options {
  listen?: { host: string; port: number };
  advertise?: string[];
  approve?: boolean;
  untilIdle?: boolean;
  lease: number;
  connectTimeout: number;
  shellIdle: number;
}

export function serveCommand(cli: Cli): Command {
  const { settings } = cli.parts;
  const { host, port } = DEFAULT_LISTEN;
  const command = new Command('serve')
    .description('Be the controller: serve the agents and these commands')
    .option(
      '--listen <host:port>',
      `where agents connect (default: as before; at first ${host}:${port})`,
      listenAddress,
    )
    .option(
      '--advertise <url>',
      'how agents reach it, best first; may be repeated (default: as before; at first its own addresses)',
      httpsEndpoint,
    )
    .option(
      '--approve',
      'each join waits for `nodes approve`, whatever its token says (default: as before; at first not)',
    )
    .option('--no-approve', 'only joins by tokens that say so wait')
    .option('--until-idle', 'end when nothing is left to do')
    .addOption(durationOption('--lease <duration>', 'how long agents may start new steps without contact', '1h'))
    .addOption(
      durationOption(
        '--connect-timeout <duration>',
        'how long a run waits for a node that was given nothing yet',
        '5m',
      ),
    )
    .addOption(
      durationOption(
        '--shell-idle <duration>',
        'end a shell in which nothing is typed and nothing printed for so long; 0: never',
        '2h',
        { least: '0', most: '20d' },
      ),
    )
    .addHelpText(
      'after',
      `
Where joins wait, machines that kk is brought to by ssh do not: who asked for them has approved them.

Examples:
  kk-controller serve
  kk-controller serve --listen 10.0.0.5:9443 --advertise https://10.0.0.5:9443
  kk-controller --state /srv/kk serve --lease 4h
  kk-controller serve --approve`,
    );
  return cli.action(command, async (options: Options) => {
    const stop = new AbortController();
    const stopListening = cli.parts.onStop(() => stop.abort());
    try {
      return await cli.parts.runServe(
        {
          stateFolder: cli.stateFolder,
          listen: options.listen ?? fromEnvironment('KK_LISTEN', settings.listen, listenAddress),
          advertise:
            options.advertise ??
            settings.advertise?.flatMap(
              (url) => fromEnvironment('KK_ADVERTISE', url, (text) => httpsEndpoint(text, [])) ?? [],
            ),
          approve: options.approve ?? fromEnvironment('KK_APPROVE', settings.approve, yesOrNo),
          untilIdle: options.untilIdle ?? false,
          leaseSeconds: options.lease,
          connectTimeoutSeconds: options.connectTimeout,
          shellIdleSeconds: options.shellIdle,
        },
        { log: cli.parts.err, stop: stop.signal },
      );
    } finally {
      stopListening();
    }
  });
}

function yesOrNo(text: string): boolean {
  if (text === 'yes' || text === 'no') return text === 'yes';
  throw new InvalidArgumentError('Write yes or no.');
}

/** A setting read as its option would be. Throws KkError SETTING_INVALID. */
function fromEnvironment<T>(name: string, text: string | undefined, read: (text: string) => T): T | undefined {
  if (text === undefined) return undefined;
  try {
    return read(text);
  } catch (thrown) {
    if (!(thrown instanceof InvalidArgumentError)) throw thrown;
    throw new KkError({
      code: 'SETTING_INVALID',
      message: `The environment variable ${name} is "${text}".`,
      remedy: thrown.message,
    });
  }
}
