import type { Clock } from '../../agent/executor/ports.ts';
import type { Host, RunOutput } from '../../agent/host/host.ts';
import type { Facts } from '../../shared/facts.ts';
import { uniform } from './behaviour.ts';
import { type CommandsParts, SimulatedCommands } from './simulated-commands.ts';
import { SimulatedFiles } from './simulated-files.ts';

export interface SimulatedHostParts extends CommandsParts {
  /** A file was written, or (without content) removed. */
  onWrite?: (path: string, content: Buffer | undefined) => void;
  /** Helper programs (systemctl, an action's `unless`); default: none is there (code 127). */
  run?: (argv: readonly string[]) => RunOutput;
}

/** The hands of an agent on a machine that is not there: files in memory, commands that only take their time. */
export class SimulatedHost implements Host {
  readonly files: SimulatedFiles;
  readonly commands: SimulatedCommands;
  readonly #clock: Clock;
  readonly #run: (argv: readonly string[]) => RunOutput;

  constructor(parts: SimulatedHostParts) {
    this.#clock = parts.clock;
    this.#run = parts.run ?? (([program]) => ({ code: 127, stdout: '', stderr: `${program}: not found` }));
    this.commands = new SimulatedCommands(parts);
    // A command's folder is there as soon as it began.
    this.files = new SimulatedFiles({ ...parts, namesIn: (path) => this.commands.list(path) });
  }

  async run(argv: readonly [string, ...string[]]): Promise<RunOutput> {
    return this.#run(argv);
  }

  bootTimeMs(): number {
    return this.#clock.bootTimeMs();
  }

  nowMs(): number {
    return this.#clock.nowMs();
  }
}

const GIB = 1024 ** 3;

/** What a simulated machine tells of itself: drawn from seed and name, large enough for the built-in prechecks. */
export function simulatedFacts(seed: number, node: string, bootId: string, nowMs: number): Facts {
  const [size] = uniform(`${seed} ${node} machine`);
  const memory = 8 * GIB * 2 ** Math.floor(size * 4);
  const disk = { mount: '/', device: '/dev/vda1', type: 'ext4', total: 200 * GIB, available: 150 * GIB };
  const addresses = ['10.0.0.1/16'];
  return {
    hostname: node,
    os: { id: 'debian', id_like: [], version: '12', name: 'Debian GNU/Linux 12 (bookworm)' },
    architecture: 'amd64',
    kernel: { release: '6.1.0-28-amd64', version: '#1 SMP' },
    cpu: { count: 2 ** (2 + Math.floor(size * 4)), model: 'Simulated' },
    memory: { total: memory, available: Math.round(memory * 0.8) },
    swap: { total: 0, devices: [] },
    interfaces: [
      { name: 'eth0', mac: '02:00:00:00:00:01', mtu: 1500, up: true, speed_mbps: 10_000, duplex: 'full', addresses },
    ],
    filesystems: [disk],
    machine_id: node,
    boot_id: bootId,
    package_manager: 'apt',
    gathered: { at_ms: nowMs, took_ms: 0 },
  };
}
