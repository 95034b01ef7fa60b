/**
 * Why the agent could not gather what a rule needs: the codes of `trouble` in the check action's output, which reads
 * `CODE: sentence`. The agent says what happened, this table says what to do about it.
 */
export const TROUBLES = {
  FIO_MISSING:
    'install fio on the node (for instance `apt-get install fio`), or let the precheck do it with precheck.install_fio: true',
  FIO_FAILED: 'run fio by hand in that directory, see what it says, mend the disk or the directory and check again',
  DIRECTORY_UNUSABLE: 'make the path a directory that root can write to, or configure another one',
  DISK_FULL: 'free space on the file system of the directory, or configure a directory on a larger one',
  FACTS_MISSING:
    'check again; if it stays so, look on the node for what hangs or cannot be read (load, disks, network mounts)',
  RULE_UNKNOWN: 'bring the agent to the version of the controller: it does not know this rule',
  PARAMS_INVALID: 'correct the values under precheck in the plan',
  CANCELLED: 'run the precheck again',
} as const;

export type TroubleCode = keyof typeof TROUBLES;

/** The text of `trouble`. */
export function trouble(code: TroubleCode, sentence: string): string {
  return `${code}: ${sentence}`;
}

/** The remedy of a trouble text; a code of a newer agent gets a general one. */
export function remedyOf(text: string): string {
  const code = text.slice(0, Math.max(0, text.indexOf(':')));
  return Object.hasOwn(TROUBLES, code)
    ? TROUBLES[code as TroubleCode]
    : 'see the agent’s log on the node, mend the cause and run the precheck again';
}
