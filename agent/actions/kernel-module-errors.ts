import { KkError } from '../../shared/errors.ts';

/** What modprobe or rmmod (kmod) says when it fails, with what to do about it. */
const KNOWN: readonly [said: RegExp, code: string, what: string, remedy: string][] = [
  [
    /not permitted|permission denied/i,
    'MODULE_DENIED',
    'may not be loaded or unloaded here',
    'Run the agent as root. In a container load the module on its host, where it is for all; on a machine that is locked down (kernel.modules_disabled, lockdown) let it load at boot.',
  ],
  [
    /key was rejected|required key/i,
    'MODULE_DENIED',
    'is not signed by a key that this kernel trusts',
    'Secure Boot asks for a signature: sign the module, enrol its key (mokutil), or take the one of the distribution.',
  ],
  [
    /in use/i,
    'MODULE_IN_USE',
    'is in use',
    'Stop what uses it in an earlier task (lsmod names other modules that do), then run again.',
  ],
  [
    /: not found$|not executable/m,
    'MODULE_TOOLS_MISSING',
    'cannot be loaded: modprobe is not on this node',
    'Install kmod in an earlier task.',
  ],
];

export function moduleFailed(name: string, stderr: string): KkError {
  const evidence = stderr.trim().slice(-2000);
  const [, code, what, remedy] = KNOWN.find(([said]) => said.test(stderr)) ?? [
    undefined,
    'MODULE_FAILED',
    'could not be loaded or unloaded',
    'See the evidence, and dmesg on the node: the kernel says there why.',
  ];
  return new KkError({ code, message: `The kernel module ${name} ${what}.`, remedy, evidence });
}

/** `hasAny`: are there any modules for the kernel that runs? */
export function moduleMissing(name: string, release: string, hasAny: boolean, stderr: string): KkError {
  return new KkError({
    code: 'MODULE_MISSING',
    message: hasAny
      ? `There is no kernel module ${name} for the kernel ${release}.`
      : `There are no modules at all for the kernel that runs, ${release}, so ${name} cannot be loaded.`,
    remedy: hasAny
      ? 'Install the package with further modules (linux-modules-extra, kernel-modules-extra) in an earlier task, or correct the name: newer kernels have some under another.'
      : 'After an upgrade of the kernel reboot the node. In a container load the module on its host.',
    evidence: stderr.trim().slice(-2000),
  });
}

export function moduleBlocked(name: string, line: string): KkError {
  return new KkError({
    code: 'MODULE_BLOCKED',
    message: `The configuration of this node keeps the kernel module ${name} from being loaded.`,
    remedy: `Take the line "install ${name} …" out of /etc/modprobe.d, if whoever hardened the node agrees.`,
    evidence: line,
  });
}

export function moduleIsAlias(name: string, real: string): KkError {
  return new KkError({
    code: 'MODULE_IS_ALIAS',
    message: `${name} is only an alias: the kernel module is ${real}.`,
    remedy: `Write ${real} in the plan.`,
  });
}

export function moduleBuiltIn(name: string): KkError {
  return new KkError({
    code: 'MODULE_BUILT_IN',
    message: `${name} is built into the kernel of this node, so it cannot be unloaded.`,
    remedy: 'Take the task out for this node (when), or boot a kernel without it.',
  });
}

export function moduleParamsDiffer(name: string, isBuiltIn: boolean, differences: readonly string[]): KkError {
  return new KkError({
    code: 'MODULE_PARAMS_DIFFER',
    message: `The kernel module ${name} is there with other parameters, which only count when it is loaded: ${differences[0]}.`,
    remedy: isBuiltIn
      ? `Give ${name}.<parameter>=<value> on the command line of the kernel, and reboot.`
      : 'Unload it in an earlier task (state: absent), correct the plan, or see who loads it at boot (/etc/modprobe.d).',
    evidence: differences.join('\n'),
  });
}
