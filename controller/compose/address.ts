import { networkInterfaces } from 'node:os';
import { isSystemError, KkError } from '../../shared/errors.ts';
import { DEFAULT_LISTEN, type ListenAddress, type ServeOptions } from '../config/settings.ts';
import type { AgentApp } from '../server/agent-port.ts';
import type { Database } from '../store/database.ts';
import { lastServing, rememberServing } from '../store/meta.ts';

/** Where the controller listens and what it tells the agents: as asked, else as before, else the default. */
export class Address {
  private listen: ListenAddress;
  private readonly advertise: readonly string[];
  private readonly database: Database;

  private constructor(listen: ListenAddress, advertise: readonly string[], database: Database) {
    this.listen = listen;
    this.advertise = advertise;
    this.database = database;
  }

  static async of(options: Pick<ServeOptions, 'listen' | 'advertise'>, database: Database): Promise<Address> {
    const before = await lastServing(database);
    const listen = options.listen ?? before?.listen ?? DEFAULT_LISTEN;
    return new Address(listen, options.advertise ?? before?.advertise ?? [], database);
  }

  get port(): number {
    return this.listen.port;
  }

  /** `https://host:port`, in the order in which agents try them. */
  endpoints(): readonly string[] {
    if (this.advertise.length > 0) return this.advertise;
    return hostsOf(this.listen.host).map((host) => `https://${host}:${this.port}`);
  }

  /** Listens, and remembers where: agents know the address. Throws KkError PORT_IN_USE, ADDRESS_NOT_HERE. */
  async open(app: AgentApp): Promise<void> {
    const { host, port } = this.listen;
    try {
      await app.listen({ host, port });
    } catch (cause) {
      throw isPortTrouble(cause) ? portInUse(host, port, cause as Error) : cause;
    }
    const bound = app.server.address();
    if (typeof bound === 'object' && bound) this.listen = { host, port: bound.port };
    await rememberServing(this.database, { listen: this.listen, advertise: [...this.advertise] });
  }
}

/** The machine's own addresses where it listens on all of them; loopback last, for agents on this very machine. */
function hostsOf(host: string): string[] {
  if (host !== '0.0.0.0' && host !== '::') return [host.includes(':') ? `[${host}]` : host];
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return [...addresses.filter((a) => !a.internal && a.family === 'IPv4').map((a) => a.address), '127.0.0.1'];
}

function isPortTrouble(cause: unknown): boolean {
  return ['EADDRINUSE', 'EACCES', 'EADDRNOTAVAIL'].some((code) => isSystemError(cause, code));
}

function portInUse(host: string, port: number, cause: Error): KkError {
  const message = `The controller cannot listen on ${host}:${port}: ${cause.message}.`;
  if (isSystemError(cause, 'EADDRNOTAVAIL')) {
    return new KkError({
      code: 'ADDRESS_NOT_HERE',
      message,
      remedy:
        'Give an address of this machine (`ip addr` lists them) with --listen (or KK_LISTEN), or 0.0.0.0 for all.',
      cause,
    });
  }
  return new KkError({
    code: 'PORT_IN_USE',
    message,
    remedy: `See who has it with \`ss -ltnp 'sport = :${port}'\`, or choose another with --listen (or KK_LISTEN).`,
    cause,
  });
}
