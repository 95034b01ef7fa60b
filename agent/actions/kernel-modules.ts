import { moduleName } from '../../shared/actions/kernel-module.ts';
import type { Host } from '../host/host.ts';
import { moduleBlocked, moduleFailed, moduleIsAlias, moduleMissing } from './kernel-module-errors.ts';

export type ModuleState = 'loaded' | 'built-in' | 'absent';

/** A module may probe hardware while it is loaded. */
const MODPROBE_MS = 5 * 60_000;

/** The modules of the running kernel. Names are as in /proc/modules. */
export interface KernelModules {
  stateOf(name: string): Promise<ModuleState>;
  /** As /sys/module has it; undefined: it does not tell. */
  parameter(name: string, parameter: string): Promise<string | undefined>;
  /**
   * Itself and what it needs, in the order in which they are loaded, without those that are there. Throws MODULE_MISSING,
   * MODULE_BLOCKED, MODULE_IS_ALIAS.
   */
  toLoad(name: string): Promise<string[]>;
  /** Throws MODULE_DENIED, MODULE_TOOLS_MISSING, MODULE_FAILED. */
  load(name: string, params: readonly string[], signal: AbortSignal): Promise<void>;
  /** It alone: what came with it may be wanted by others. Throws MODULE_IN_USE too. */
  unload(name: string, signal: AbortSignal): Promise<void>;
}

/** `root`: what /proc, /sys and /lib are below. */
export function kernelModules(host: Host, root: string): KernelModules {
  const text = async (path: string): Promise<string> => (await host.files.read(root + path))?.toString('utf8') ?? '';
  const release = async (): Promise<string> => (await text('/proc/sys/kernel/osrelease')).trim();

  async function isBuiltIn(name: string): Promise<boolean> {
    // /sys has those that have parameters or a version, the list has all; a container may see but one of them.
    if ((await host.files.stat(`${root}/sys/module/${name}`)) !== undefined) return true;
    return namesIn(await text(`/lib/modules/${await release()}/modules.builtin`)).includes(name);
  }

  async function stateOf(name: string): Promise<ModuleState> {
    const loaded = (await text('/proc/modules')).split('\n').some((line) => line.startsWith(`${name} `));
    if (loaded) return 'loaded';
    return (await isBuiltIn(name)) ? 'built-in' : 'absent';
  }

  async function run(name: string, argv: readonly [string, ...string[]], signal: AbortSignal): Promise<void> {
    const { code, stderr } = await host.run(argv, { timeoutMs: MODPROBE_MS, signal });
    if (code !== 0) throw moduleFailed(name, stderr);
  }

  return {
    stateOf,

    async parameter(name, parameter) {
      const path = `${root}/sys/module/${name}/parameters/${parameter}`;
      // Some are write-only, or may not be seen.
      const value = await host.files.read(path).catch(() => undefined);
      return value?.toString('utf8').trim();
    },

    async toLoad(name) {
      const { code, stdout, stderr } = await host.run(['modprobe', '-D', '--', name]);
      if (code === 126 || code === 127) throw moduleFailed(name, stderr);
      if (code !== 0) {
        const kernel = await release();
        throw moduleMissing(name, kernel, (await host.files.list(`${root}/lib/modules/${kernel}`)).length > 0, stderr);
      }
      const lines = stdout.split('\n').filter((line) => line.trim() !== '');
      const last = lines.at(-1) ?? '';
      if (/^install \S*\/(?:false|true)\b/.test(last)) throw moduleBlocked(name, last);
      const names = lines.flatMap((line) => namesIn(/^(?:insmod|builtin) (\S+)/.exec(line)?.[1] ?? ''));
      const real = names.at(-1);
      // A module with an install command of its own is not in the list; one with a soft dependency may not be its last.
      if (real !== undefined && !names.includes(name) && !last.startsWith('install ')) throw moduleIsAlias(name, real);
      const missing: string[] = [];
      for (const one of new Set([...names, name])) if ((await stateOf(one)) === 'absent') missing.push(one);
      return missing;
    },

    load: (name, params, signal) => run(name, ['modprobe', '--', name, ...params], signal),

    unload: (name, signal) => run(name, ['rmmod', name], signal),
  };
}

/** Names of modules by the paths of their files, one on each line: kernel/net/bridge/br_netfilter.ko.zst. */
function namesIn(paths: string): string[] {
  return paths.split('\n').flatMap((path) => {
    const [, name] = /([^/\s]+?)(?:\.ko(?:\.\w+)?)?\s*$/.exec(path) ?? [];
    return name === undefined ? [] : [moduleName(name)];
  });
}
