import { KkError } from '../../shared/errors.ts';
import { SHELL_CAPABILITY } from '../../shared/protocol/level.ts';
import type { Fleet } from '../dispatch/fleet.ts';
import type { Timer } from '../dispatch/ports.ts';
import type { ShellEnd } from '../dispatch/shells.ts';
import type { Clock } from '../run/ports.ts';
import type { ShellKeys, ShellScreen, ShellWish } from '../server/operations.ts';
import type { Identities } from '../store/identities.ts';

/** Bytes of output under way to a person who does not read: large enough for a long way, small enough for a heartbeat. */
const OUTPUT = 128 * 1024;
/** Taken bytes are told to the agent when there are so many. */
const GRANT = OUTPUT / 4;

export interface ShellsParts {
  fleet: Fleet;
  identities: Pick<Identities, 'node'>;
  clock: Clock;
  timer(ms: number, then: () => void): Timer;
  /** Nothing typed and nothing printed for so long ends a shell; 0: nothing does. */
  idleMs: number;
  /** Who, where, when, how long; never what. */
  audit(what: string, details: Record<string, unknown>): void;
}

/** The shells that people have open through this controller. */
export class Shells {
  private readonly open = new Set<() => void>();
  private readonly parts: ShellsParts;

  constructor(parts: ShellsParts) {
    this.parts = parts;
  }

  get size(): number {
    return this.open.size;
  }

  /** Ends all of them: the controller stops. */
  close(): void {
    for (const end of [...this.open]) end();
  }

  /** Throws KkError NODE_UNKNOWN, NODE_NOT_CONNECTED, AGENT_TOO_OLD; what the agent finds comes as the end of the shell. */
  begin(wish: ShellWish, screen: ShellScreen): ShellKeys {
    const { node, user, by, argv, ...rest } = wish;
    const { clock, idleMs, audit } = this.parts;
    const session = this.sessionOf(node);
    const who = { node, by, user: user ?? '' };
    let owed = 0;
    const begunMs = clock.monotonicMs();
    audit('shell asked for', who);

    const finish = (end: ShellEnd | 'closed'): void => {
      this.open.delete(stop);
      idle?.cancel();
      const how = end === 'closed' ? { how: 'closed' } : 'report' in end ? { how: end.report.code } : end;
      audit('shell ended', { ...who, durationMs: Math.round(clock.monotonicMs() - begunMs), ...how });
      if (end !== 'closed') screen.ended(end);
    };
    const shell = session.shells.begin(
      { ...rest, user: user ?? '', argv: argvOf(argv), credit: OUTPUT },
      {
        opened: (credit) => screen.opened(credit),
        output: (data) => {
          idle?.refresh();
          void screen.show(data).then(() => {
            owed += data.length;
            if (owed < GRANT) return;
            shell.granted(owed);
            owed = 0;
          });
        },
        taken: (bytes) => screen.taken(bytes),
        ended: finish,
      },
    );
    const stop = (): void => {
      shell.close();
      finish({ report: stopping(node).report });
    };
    this.open.add(stop);
    const idle =
      idleMs === 0
        ? undefined
        : this.parts.timer(idleMs, () => {
            shell.close();
            finish({ report: tooIdle(node, idleMs).report });
          });
    return {
      type(data) {
        idle?.refresh();
        shell.type(data);
      },
      resize: shell.resize,
      close: () => {
        if (!this.open.has(stop)) return;
        shell.close();
        finish('closed');
      },
    };
  }

  private sessionOf(node: string) {
    const { fleet, identities } = this.parts;
    const known = identities.node(node);
    if (known === undefined || known.revoked) {
      throw new KkError({
        code: 'NODE_UNKNOWN',
        message: `There is no node "${node}".`,
        remedy: 'See `kk-controller nodes` for the nodes there are.',
      });
    }
    const session = fleet.get(node);
    if (session === undefined) {
      throw new KkError({
        code: 'NODE_NOT_CONNECTED',
        message: `The agent of ${node} is not connected.`,
        remedy: 'See on the node whether it runs: systemctl status kk-agent, journalctl -u kk-agent.',
        node,
      });
    }
    if (!session.capabilities.has(SHELL_CAPABILITY)) {
      throw new KkError({
        code: 'AGENT_TOO_OLD',
        message: `The agent of ${node} (version ${session.version}) opens no shells.`,
        remedy: 'Upgrade kk-agent on this node to the version of the controller (kk-controller bootstrap).',
        node,
      });
    }
    return session;
  }
}

/** As `exec` reads it: one word is a line of shell, several are a program and its arguments, none is the login shell. */
function argvOf(words: readonly string[]): string[] {
  const [line] = words;
  return words.length === 1 && line !== undefined ? ['/bin/sh', '-c', line] : [...words];
}

function tooIdle(node: string, idleMs: number): KkError {
  return new KkError({
    code: 'SHELL_IDLE',
    message: `Nothing was typed and nothing printed on ${node} for ${Math.round(idleMs / 1000)} s.`,
    remedy: 'Open the shell again. `kk-controller serve --shell-idle` says how long one may be idle.',
    node,
  });
}

function stopping(node: string): KkError {
  return new KkError({
    code: 'SHELL_CUT',
    message: `The controller stops, and with it the shell on ${node}.`,
    remedy: 'Open it again when a controller runs.',
    node,
  });
}
